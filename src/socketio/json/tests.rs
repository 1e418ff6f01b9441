use super::*;
use proptest::prelude::*;
use serde_json::value::RawValue;

/// What `serde_json` says.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

fn array(text: &str) -> [&str; 3] {
    let Ok(Shape::Array(elements)) = check(text, None) else {
        panic!("{text} is no array");
    };
    [elements.first, elements.rest, elements.all].map(|range| &text[range])
}

#[test]
fn the_elements_of_an_array_are_found() {
    assert_eq!(array("[]"), ["", "", ""]);
    assert_eq!(array(" [ ] "), ["", "", " "]);
    assert_eq!(array("[1]"), ["1", "", "1"]);
    assert_eq!(array(r#"["a",1]"#), [r#""a""#, "1", r#""a",1"#]);
    assert_eq!(
        array(r#" [ "a]" , {"b":[1,2]} , 3 ] "#),
        [
            r#""a]""#,
            r#" {"b":[1,2]} , 3 "#,
            r#" "a]" , {"b":[1,2]} , 3 "#
        ]
    );
    assert_eq!(array("[[1,2],[3]]"), ["[1,2]", "[3]", "[1,2],[3]"]);
    assert_eq!(array(r#"[{"a":1},{}]"#)[..2], [r#"{"a":1}"#, "{}"]);
}

#[test]
fn the_shape_is_told() {
    assert_eq!(check(" {} ", None), Ok(Shape::Object));
    assert_eq!(check(r#""a""#, None), Ok(Shape::String));
    for text in ["true", "false", "null", "0", "-1.5e+3"] {
        assert_eq!(check(text, None), Ok(Shape::Other), "{text}");
    }
}

#[test]
fn what_breaks_the_grammar_does_not_pass() {
    for text in [
        "",
        " ",
        "[",
        "]",
        "{",
        "}",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1]]",
        "[1}",
        "{1}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{"a":1]"#,
        r#"{a:1}"#,
        r#""a"#,
        "\"\n\"",
        "\"\u{1f}\"",
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u12""#,
        r#""\"#,
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "--1",
        "tru",
        "truex",
        "nul",
        "NaN",
        "'a'",
        "[1]x",
        "\u{feff}1",
    ] {
        assert_eq!(check(text, None), Err(JsonError::Malformed), "{text}");
        assert!(!is_json(text), "{text}");
    }
}

#[test]
fn json_nested_100_000_deep_is_harmless() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| {
            let inner = if open == "[" { "" } else { "1" };
            open.repeat(depth) + inner + &close.repeat(depth)
        };
        assert!(check(&nested(JSON_DEPTH_MAX as usize), None).is_ok());
        for depth in [JSON_DEPTH_MAX as usize + 1, 100_000] {
            assert_eq!(check(&nested(depth), None), Err(JsonError::TooDeep));
            assert_eq!(check(&open.repeat(depth), None), Err(JsonError::TooDeep));
        }
    }
}

/// An array of so many placeholders.
fn placeholders(count: u8) -> String {
    let all: Vec<String> = (0..count)
        .map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#))
        .collect();
    format!("[{}]", all.join(","))
}

#[test]
fn placeholders_that_fit_pass() {
    for (text, count) in [
        ("[]", 0),
        (r#"["a",{"_placeholder":false,"num":7}]"#, 0),
        (r#"["a",{"_placeholder":1}]"#, 0),
        (r#"[{"num":"x"}]"#, 0),
        (r#"[{"_placeholder":true,"num":0}]"#, 1),
        (r#"[{ "num" : 0 , "_placeholder" : true }]"#, 1),
        (
            r#"[{"a":[{"_placeholder":true,"num":1}],"b":{"_placeholder":true,"num":0}}]"#,
            2,
        ),
        (r#"[{"\u005fplaceholder":true,"n\u0075m":0}]"#, 1),
        (r#"{"_placeholder":true,"num":0}"#, 1),
    ] {
        assert!(check(text, Some(count)).is_ok(), "{text}");
        assert!(check(text, None).is_ok(), "{text}");
    }
    assert!(check(&placeholders(10), Some(10)).is_ok());
    assert_eq!(
        check(&placeholders(11), Some(11)),
        Err(JsonError::Placeholder)
    );
}

#[test]
fn placeholders_that_do_not_fit_are_refused() {
    for (text, count) in [
        // Out of range, negative, no whole number, no number, missing.
        (r#"[{"_placeholder":true,"num":1}]"#, 1),
        (r#"[{"_placeholder":true,"num":255}]"#, 1),
        (r#"[{"_placeholder":true,"num":18446744073709551616}]"#, 1),
        (r#"[{"_placeholder":true,"num":-0}]"#, 1),
        (r#"[{"_placeholder":true,"num":-1}]"#, 1),
        (r#"[{"_placeholder":true,"num":0.0}]"#, 1),
        (r#"[{"_placeholder":true,"num":0e0}]"#, 1),
        (r#"[{"_placeholder":true,"num":"0"}]"#, 1),
        (r#"[{"_placeholder":true,"num":null}]"#, 1),
        (r#"[{"_placeholder":true,"num":[0]}]"#, 1),
        (r#"[{"_placeholder":true}]"#, 1),
        // Something else beside it.
        (r#"[{"_placeholder":true,"num":0,"a":1}]"#, 1),
        (r#"[{"a":{},"_placeholder":true,"num":0}]"#, 1),
        (r#"[{"_placeholder":true,"a":{},"num":0}]"#, 1),
        (
            r#"[{"_placeholder":true,"a":{},"num":0},{"_placeholder":true,"num":0}]"#,
            1,
        ),
        (r#"[{"_placeholder":true,"num":0,"num":0}]"#, 1),
        (r#"[{"_placeholder":true,"num":0,"_placeholder":true}]"#, 1),
        // Used twice, or not at all.
        (
            r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
            1,
        ),
        (r#"[{"_placeholder":true,"num":0}]"#, 2),
        ("[]", 1),
        // None was announced.
        (r#"[{"_placeholder":true,"num":0}]"#, 0),
        // More than can be.
        ("[]", 11),
        ("[]", 255),
    ] {
        assert_eq!(
            check(text, Some(count)),
            Err(JsonError::Placeholder),
            "{text}"
        );
    }
}

/// Text that is nearly JSON.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u00e9\\\\\"",
        "\"\\ud800\"",
        "\"",
        "\\",
        "0",
        "-1",
        "1.5e3",
        "12",
        "true",
        "false",
        "null",
        " ",
        "\n",
        "é",
        "\u{1}",
        "\"_placeholder\"",
        "\"num\"",
        "nu",
    ]);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

/// JSON.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..5)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn what_passes_is_what_serde_json_takes(text in nearly_json()) {
        prop_assert_eq!(check(&text, None).is_ok(), is_json(&text));
    }

    #[test]
    fn json_passes_and_its_elements_are_those_of_serde_json(value in json()) {
        for text in [value.to_string(), format!("{value:#}")] {
            let shape = check(&text, None).expect("JSON");
            if let (Shape::Array(elements), Some(values)) = (shape, value.as_array()) {
                let rest = format!("[{}]", &text[elements.rest]);
                let rest: Vec<serde_json::Value> = serde_json::from_str(&rest).expect("JSON");
                prop_assert_eq!(&rest[..], values.get(1..).unwrap_or_default());
                let first = serde_json::from_str::<serde_json::Value>(&text[elements.first]).ok();
                prop_assert_eq!(first.as_ref(), values.first());
            }
        }
    }
}
