//! What of the environment, `.env` and the configuration file is `tidegate client`'s. The server leaves it alone; it is here
//! because the sources are.

use super::error::SettingsError;
use super::sources::{self, Arguments, Context};
use toml::Value;

/// The settings of the client, as they stand in the environment.
pub const CLIENT_NAMES: [&str; 3] = ["WS_URL", "RECONNECT_INTERVAL", "MESSAGE_INTERVAL"];

/// The texts of [`CLIENT_NAMES`], in that order, from the strongest source that has one: environment, `.env`, configuration file.
///
/// # Errors
/// A file that cannot be read or understood.
pub fn client_texts(context: &Context) -> Result<[Option<String>; 3], SettingsError> {
    let dot_env = sources::read_dot_env(&context.directory)?;
    let (_, mut file) = sources::read_config_file(&Arguments::default(), context, &dot_env)?;
    Ok(CLIENT_NAMES.map(|name| {
        let environment = context.environment.get(name.as_ref() as &std::ffi::OsStr);
        environment
            // What is no UTF-8 is refused as a value that means nothing.
            .map(|text| text.to_string_lossy().into_owned())
            .filter(|text| !text.is_empty())
            .or_else(|| dot_env.get(name).filter(|text| !text.is_empty()).cloned())
            .or_else(|| match file.remove(&toml_key(name))?.0 {
                Value::String(text) => Some(text),
                other => Some(other.to_string()),
            })
    }))
}

/// Whether a key of the configuration file is the client's.
pub(super) fn is_client_key(key: &str) -> bool {
    CLIENT_NAMES.iter().any(|name| toml_key(name) == key)
}

fn toml_key(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::settings::Settings;
    use crate::server::testing::TempDir;
    use std::fs;

    #[test]
    fn the_strongest_source_counts_and_the_server_does_not_mind() {
        let directory = TempDir::new();
        let file = "ws_url = \"ws://file/\"\nreconnect_interval = 100\nmessage_interval = \"2s\"\n";
        fs::write(directory.path().join("tidegate.toml"), file).expect("written");
        let dot_env = "WS_URL=ws://dotenv/\nRECONNECT_INTERVAL=200\n";
        fs::write(directory.path().join(".env"), dot_env).expect("written");
        let mut context = Context::of_process();
        context.directory = directory.path().to_owned();
        context.environment.clear();
        let mut environment = |text: &str| {
            context.environment.insert("WS_URL".into(), text.into());
            client_texts(&context).expect("readable")
        };
        let told = |texts: [Option<String>; 3]| texts.map(Option::unwrap_or_default);
        assert_eq!(told(environment("ws://env/")), ["ws://env/", "200", "2s"]);
        assert_eq!(told(environment("")), ["ws://dotenv/", "200", "2s"]);
        Settings::load_in(&Arguments::default(), &context).expect("the server's settings");
    }
}
