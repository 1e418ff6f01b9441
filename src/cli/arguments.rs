//! The flags of the settings, made from their table.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::server::settings::sources::{CONFIG_FILE_DEFAULT, CONFIG_FILE_VARIABLE};
use crate::server::settings::table::SETTINGS;
use crate::server::settings::value::Kind;
use crate::server::settings::{Arguments, Setting};

const CONFIG: &str = "config";

impl Args for Arguments {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(ValueParser::path_buf())
            .help(format!(
                "Configuration file, which must exist then [env: {CONFIG_FILE_VARIABLE}] \
                 [default: {CONFIG_FILE_DEFAULT}, if there is one]"
            ));
        SETTINGS
            .iter()
            .map(flag)
            .fold(command.arg(config), Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let help = format!(
        "{} [env: {}] [default: {}]",
        setting.meaning.trim_end_matches('.').replace('`', ""),
        setting.environment,
        setting.default.shown(),
    );
    let flag = Arg::new(setting.environment)
        .long(setting.flag())
        .help(help)
        .help_heading(setting.theme.heading())
        .value_name(setting.kind.placeholder())
        .value_parser(ValueParser::os_string())
        // So that a wrong number is answered by what is allowed, as everywhere else.
        .allow_negative_numbers(true);
    match setting.kind {
        Kind::Switch => flag.num_args(0..=1).default_missing_value("on"),
        // Given several times, a list goes on.
        Kind::List { .. } => flag.action(ArgAction::Append),
        _ => flag,
    }
}

impl FromArgMatches for Arguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = SETTINGS.iter().filter_map(|setting| {
            let texts = matches.get_many::<OsString>(setting.environment)?;
            let texts: Vec<&OsStr> = texts.map(OsString::as_os_str).collect();
            Some((setting, texts.join(OsStr::new(","))))
        });
        let config = matches.get_one::<PathBuf>(CONFIG).cloned();
        Ok(Self {
            config,
            flags: flags.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Arguments {
        let command = Arguments::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(line).expect("parses");
        Arguments::from_arg_matches(&matches).expect("arguments")
    }

    fn texts(arguments: &Arguments) -> Vec<(&str, &str)> {
        let pairs = arguments.flags.iter();
        pairs
            .map(|(setting, text)| (setting.environment, text.to_str().expect("UTF-8")))
            .collect()
    }

    #[test]
    fn flags_keep_their_text() {
        let arguments = parsed(&[
            "--port",
            "-1",
            "--config",
            "x.toml",
            "--max-message-size=2m",
        ]);
        assert_eq!(
            texts(&arguments),
            [("PORT", "-1"), ("MAX_MESSAGE_SIZE", "2m")]
        );
        assert_eq!(arguments.config.as_deref(), Some("x.toml".as_ref()));
    }

    #[test]
    fn lists_add_up_and_switches_need_no_value() {
        let arguments = parsed(&[
            "--host",
            "::1",
            "--log-to-file",
            "--host",
            "a,b",
            "--compression",
            "off",
        ]);
        assert_eq!(
            texts(&arguments),
            [
                ("HOST", "::1,a,b"),
                ("COMPRESSION", "off"),
                ("LOG_TO_FILE", "on")
            ]
        );
    }

    #[test]
    fn nothing_given_is_nothing_said() {
        assert_eq!(parsed(&[]), Arguments::default());
    }
}
