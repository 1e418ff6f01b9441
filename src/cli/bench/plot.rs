//! The latency distribution as a drawing: latency by percentile, both on logarithmic scales, as HdrHistogram plots it.
//!
//! One SVG that needs nothing else and is readable on a light and on a dark page.

use std::fmt::Write;

use super::latency::Latency;
use super::report::grouped;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 930.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 470.0;
/// Points of the curve in each tenfold of 1/(1-p).
const STEPS_PER_DECADE: u32 = 40;
/// Decades of 1/(1-p) that are drawn, at least and at most: the 90th percentile is one decade.
const DECADES_MIN: f64 = 2.0;
const DECADES_MAX: f64 = 7.0;

const STYLE: &str = "\
    :root { color-scheme: light dark; --page: #ffffff; --ink: #1b1f24; --faint: #6a737d; --grid: #d9dee3; --curve: #0b63c5 }\n\
    @media (prefers-color-scheme: dark) {\n\
      :root { --page: #14181d; --ink: #e6e9ec; --faint: #9aa4ae; --grid: #303841; --curve: #6cb2ff }\n\
    }\n\
    text { font: 13px system-ui, sans-serif; fill: var(--faint) }\n\
    .title { font-size: 17px; font-weight: 600; fill: var(--ink) }\n\
    .page { fill: var(--page) }\n\
    .grid { stroke: var(--grid); stroke-width: 1 }\n\
    .curve { fill: none; stroke: var(--curve); stroke-width: 2.5; stroke-linejoin: round }\n\
    .end { text-anchor: end }\n\
    .middle { text-anchor: middle }\n";

/// A rectangle of the plane in which both axes are logarithms.
struct Axes {
    /// Decades of 1/(1-p).
    decades: f64,
    /// Logarithms of the lowest and the highest latency shown, microseconds.
    low: f64,
    high: f64,
}

impl Axes {
    fn of(latency: &Latency) -> Self {
        let decades = (latency.count().max(1) as f64).log10();
        let lowest = latency.min().max(0.001).log10();
        let highest = latency.max().max(0.001).log10();
        let low = lowest.floor();
        Self {
            decades: decades.clamp(DECADES_MIN, DECADES_MAX),
            low,
            high: highest.ceil().max(low + 1.0),
        }
    }

    fn x(&self, decades: f64) -> f64 {
        LEFT + decades / self.decades * (RIGHT - LEFT)
    }

    fn y(&self, microseconds: f64) -> f64 {
        let height = (microseconds.max(0.001).log10() - self.low) / (self.high - self.low);
        BOTTOM - height.clamp(0.0, 1.0) * (BOTTOM - TOP)
    }
}

/// Draws a distribution.
pub(super) fn draw(title: &str, latency: &Latency) -> String {
    let axes = Axes::of(latency);
    let title = escaped(title);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"34\">{title}</text>\n"
    );
    draw_percentiles(&axes, &mut out);
    draw_latencies(&axes, &mut out);
    draw_curve(&axes, latency, &mut out);
    out.push_str("</svg>\n");
    out
}

fn draw_percentiles(axes: &Axes, out: &mut String) {
    let names = [
        "0 %",
        "90 %",
        "99 %",
        "99.9 %",
        "99.99 %",
        "99.999 %",
        "99.9999 %",
        "99.99999 %",
    ];
    let marks = (0..)
        .zip(names)
        .map(|(decade, name)| (f64::from(decade), name));
    // Half of all lies at 1/(1-p) = 2.
    for (decade, name) in marks.chain([(2.0_f64.log10(), "50 %")]) {
        if decade > axes.decades {
            continue;
        }
        let x = axes.x(decade);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{BOTTOM}\"/>\n\
             <text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{name}</text>",
            BOTTOM + 22.0
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">percentile, on the scale of 1/(1−p)</text>",
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 50.0
    );
}

fn draw_latencies(axes: &Axes, out: &mut String) {
    let decades = (axes.high - axes.low).round() as i32;
    for decade in 0..=decades {
        let microseconds = 10_f64.powf(axes.low + f64::from(decade));
        let y = axes.y(microseconds);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>\n\
             <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 10.0,
            y + 4.0,
            time(microseconds)
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{:.1}\">latency</text>",
        TOP - 12.0
    );
}

fn draw_curve(axes: &Axes, latency: &Latency, out: &mut String) {
    let steps = (axes.decades * f64::from(STEPS_PER_DECADE)).ceil() as u32;
    let points = (0..=steps).map(|step| {
        let decade = axes.decades * f64::from(step) / f64::from(steps);
        let share = 1.0 - 10_f64.powf(-decade);
        (axes.x(decade), axes.y(latency.at(share)))
    });
    let mut path = String::new();
    for (x, y) in points {
        let command = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{command}{x:.1} {y:.1}");
    }
    let _ = writeln!(out, "<path class=\"curve\" d=\"{path}\"/>");
    let _ = writeln!(
        out,
        "<text class=\"end\" x=\"{RIGHT}\" y=\"{:.1}\">max {}</text>",
        TOP - 12.0,
        time(latency.max())
    );
}

/// In the unit that suits it.
fn time(microseconds: f64) -> String {
    // A hair below a power of ten is one.
    let (number, unit) = match microseconds * 1.000_001 {
        below if below < 1.0 => (microseconds * 1e3, "ns"),
        below if below < 1e3 => (microseconds, "µs"),
        below if below < 1e6 => (microseconds / 1e3, "ms"),
        _ => (microseconds / 1e6, "s"),
    };
    if number < 9.95 && (number - number.round()).abs() > 0.05 {
        format!("{number:.1} {unit}")
    } else {
        format!("{} {unit}", grouped(number))
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 has no other control characters than these two.
            '\t' | '\n' => escaped.push(' '),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(drawing: &str) -> Vec<(f64, f64)> {
        let (_, rest) = drawing
            .split_once("class=\"curve\" d=\"M")
            .expect("a curve");
        let (path, _) = rest.split_once('"').expect("its end");
        let number = |text: &str| text.parse::<f64>().expect("a number");
        path.split('L')
            .map(|point| point.split_once(' ').expect("two numbers"))
            .map(|(x, y)| (number(x), number(y)))
            .collect()
    }

    #[test]
    fn the_curve_rises_from_the_left_to_the_right() {
        let mut latency = Latency::new();
        for step in 1..=1000 {
            latency.record(step * step * 1000, 1);
        }
        let drawing = draw("echo ws://a/?b=1&c=<d>", &latency);
        assert!(drawing.contains("echo ws://a/?b=1&amp;c=&lt;d&gt;"));
        assert!(drawing.contains("prefers-color-scheme: dark"));
        for label in ["50 %", "90 %", "99.9 %", "1 µs", "1 s", "max 1 s"] {
            assert!(
                drawing.contains(&format!(">{label}<")),
                "{label}:\n{drawing}"
            );
        }
        assert!(
            !drawing.contains(">99.99 %<"),
            "a thousand values do not tell"
        );
        let points = curve(&drawing);
        assert_eq!(
            (points[0].0, points.last().expect("points").0),
            (LEFT, RIGHT)
        );
        for pair in points.windows(2) {
            assert!(pair[0].0 < pair[1].0 && pair[0].1 >= pair[1].1, "{pair:?}");
        }
        assert!(points.iter().all(|&(_, y)| (TOP..=BOTTOM).contains(&y)));
    }

    #[test]
    fn one_value_is_a_distribution_too() {
        let mut latency = Latency::new();
        latency.record(1_000_000, 1);
        let points = curve(&draw("one", &latency));
        assert!(points.windows(2).all(|pair| pair[0].1 == pair[1].1));
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (microseconds, text) in [
            (0.01, "10 ns"),
            (0.999_999_9, "1 µs"),
            (1.5, "1.5 µs"),
            (12.3, "12 µs"),
            (1e3, "1 ms"),
            (2.5e6, "2.5 s"),
            (6e8, "600 s"),
        ] {
            assert_eq!(time(microseconds), text);
        }
    }
}
