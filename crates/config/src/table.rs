//! Rows and structs from one table: what a setting is called in the file, in the environment and
//! as a flag is said once.

use crate::Config;
use crate::value::Kind;

/// One row of the table: everything about a setting but its value.
#[derive(Debug)]
pub struct Setting {
    /// `server.listen`: section and name in the file.
    pub key: &'static str,
    /// A second name in the environment: the founding guide's, or one that the command line
    /// reads too.
    pub guide_name: Option<&'static str>,
    pub flag: Option<Flag>,
    /// Never shown, and readable from a file named by `…_FILE`.
    pub is_secret: bool,
    pub kind: Kind,
    /// What it does; the first sentence stands alone.
    pub help: &'static str,
    pub(crate) set: fn(&mut Config, &str) -> Result<(), String>,
    pub(crate) show: fn(&Config) -> String,
}

/// How a setting is given on the command line of `serve`.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Without dashes.
    pub name: &'static str,
    /// What follows it; a flag without is a switch that means `true`.
    pub value_name: Option<&'static str>,
}

/// Every setting, in the order of the file.
pub const SETTINGS: &[Setting] = crate::settings::ROWS;

impl Setting {
    /// `AUTOM8_SERVER_LISTEN`.
    pub fn environment_name(&self) -> String {
        format!("AUTOM8_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The default, as a person would write it.
    pub fn default_shown(&self) -> String {
        (self.show)(&Config::default())
    }

    pub fn by_key(key: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

/// Makes a struct a section, its defaults, and the rows.
///
/// `section [path] Struct with { child sections } { name: type = default [, guide "ENV"]
/// [, flag "name" ["VALUE"]] [, secret yes] [, check function]; … }`
macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])*
        section $section:tt $struct:ident $(with { $($child:ident : $child_struct:ty),+ })? {
            $(
                $(#[doc = $doc:literal])*
                $field:ident : $type:ty = $default:expr
                $(, guide $guide:literal)?
                $(, flag $flag:literal $($value_name:literal)?)?
                $(, secret $secret:ident)?
                $(, check $check:path)?
                ;
            )+
        }
    )+) => {
        $(
            $(#[doc = $section_doc])*
            #[derive(Clone, Debug)]
            pub struct $struct {
                $($(#[doc = $doc])* pub $field: $type,)+
                $($(pub $child: $child_struct,)+)?
            }

            impl Default for $struct {
                fn default() -> Self {
                    $struct {
                        $($field: $default,)+
                        $($($child: Default::default(),)+)?
                    }
                }
            }
        )+

        pub(crate) const ROWS: &[crate::table::Setting] = &[$($(
            crate::table::Setting {
                key: crate::table::key_of!($section $field),
                guide_name: crate::table::first_of(&[$($guide)?]),
                flag: {
                    #[allow(unused_mut, unused_assignments, reason = "the flag is optional")]
                    let mut flag = None;
                    $(flag = Some(crate::table::Flag {
                        name: $flag,
                        value_name: crate::table::first_of(&[$($value_name)?]),
                    });)?
                    flag
                },
                is_secret: crate::table::first_of(&[$(stringify!($secret))?]).is_some(),
                kind: <$type as crate::value::Value>::KIND,
                help: concat!($($doc),*).trim_ascii(),
                set: |config, text| {
                    let value = <$type as crate::value::Value>::parse(text)?;
                    $($check(&value)?;)?
                    crate::table::place_of!(config $section $field) = value;
                    Ok(())
                },
                show: |config| {
                    crate::value::Value::show(&crate::table::place_of!(config $section $field))
                },
            },
        )+)+];
    };
}

macro_rules! key_of {
    ([$($section:ident).+] $field:ident) => {
        concat!($(stringify!($section), ".",)+ stringify!($field))
    };
}

macro_rules! place_of {
    ($config:ident [$($section:ident).+] $field:ident) => {
        $config.$($section.)+$field
    };
}

pub(crate) use {key_of, place_of, settings};

pub(crate) const fn first_of(words: &[&'static str]) -> Option<&'static str> {
    match words {
        [] => None,
        [word, ..] => Some(word),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_settings_share_a_name_of_any_kind() {
        let mut names = BTreeSet::new();
        for setting in SETTINGS {
            assert!(names.insert(setting.environment_name()), "{}", setting.key);
            if let Some(guide) = setting.guide_name {
                assert!(names.insert(guide.to_owned()), "{guide}");
            }
            if let Some(flag) = setting.flag {
                assert!(names.insert(format!("--{}", flag.name)), "{}", flag.name);
            }
        }
    }

    #[test]
    fn every_setting_is_explained_and_its_default_is_valid() {
        for setting in SETTINGS {
            assert!(
                setting.help.ends_with('.'),
                "{}: {}",
                setting.key,
                setting.help
            );
            let shown = setting.default_shown();
            if !matches!(shown.as_str(), "unset" | "none") {
                let mut config = Config::default();
                assert_eq!(
                    (setting.set)(&mut config, &shown),
                    Ok(()),
                    "{}",
                    setting.key
                );
                assert_eq!(config.shown(setting), shown);
            }
        }
    }

    #[test]
    fn the_names_of_the_founding_guide_are_honoured() {
        let names: BTreeSet<&str> = SETTINGS.iter().filter_map(|s| s.guide_name).collect();
        let promised = [
            "API_HOST",
            "API_PORT",
            // Not of the guide: where the command line finds its key, the server finds its first.
            "AUTOM8_API_KEY_FILE",
            "DATABASE_URL",
            "ENVIRONMENT",
            "LOG_LEVEL",
            "RATE_LIMIT_DEFAULT",
            "RATE_LIMIT_ENABLED",
            "TIMEZONE",
        ];
        assert_eq!(names, BTreeSet::from(promised));
    }
}
