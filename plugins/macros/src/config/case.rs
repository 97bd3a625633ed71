//! serde's `rename_all`.

use syn::{Error, LitStr, Result};

/// How names are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    pub fn parse(written: &LitStr) -> Result<Self> {
        Ok(match written.value().as_str() {
            "lowercase" => Self::Lower,
            "UPPERCASE" => Self::Upper,
            "PascalCase" => Self::Pascal,
            "camelCase" => Self::Camel,
            "snake_case" => Self::Snake,
            "SCREAMING_SNAKE_CASE" => Self::ScreamingSnake,
            "kebab-case" => Self::Kebab,
            "SCREAMING-KEBAB-CASE" => Self::ScreamingKebab,
            other => return Err(Error::new(written.span(), format!("{other} is no case that serde knows"))),
        })
    }

    /// A field's name, which is written as `snake_case`.
    pub fn of_field(self, name: &str) -> String {
        match self {
            Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => pascal(name),
            Self::Camel => first_small(&pascal(name)),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }

    /// A variant's name, which is written as `PascalCase`.
    pub fn of_variant(self, name: &str) -> String {
        match self {
            Self::Pascal => name.to_owned(),
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Camel => first_small(name),
            Self::Snake => snake(name),
            Self::ScreamingSnake => snake(name).to_ascii_uppercase(),
            Self::Kebab => snake(name).replace('_', "-"),
            Self::ScreamingKebab => snake(name).to_ascii_uppercase().replace('_', "-"),
        }
    }
}

fn pascal(name: &str) -> String {
    let words = name.split('_').filter(|word| !word.is_empty());
    words.map(|word| with_first(word, str::to_ascii_uppercase)).collect()
}

fn first_small(name: &str) -> String {
    with_first(name, str::to_ascii_lowercase)
}

/// A name may begin with a letter of several bytes.
fn with_first(name: &str, change: fn(&str) -> String) -> String {
    let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    change(first) + rest
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_serde_makes_of_them() {
        let all = [
            (Case::Lower, "max_burst", "maxburst"),
            (Case::Upper, "MAX_BURST", "MAXBURST"),
            (Case::Pascal, "MaxBurst", "MaxBurst"),
            (Case::Camel, "maxBurst", "maxBurst"),
            (Case::Snake, "max_burst", "max_burst"),
            (Case::ScreamingSnake, "MAX_BURST", "MAX_BURST"),
            (Case::Kebab, "max-burst", "max-burst"),
            (Case::ScreamingKebab, "MAX-BURST", "MAX-BURST"),
        ];
        for (case, field, variant) in all {
            assert_eq!(
                (&*case.of_field("max_burst"), &*case.of_variant("MaxBurst")),
                (field, variant),
                "{case:?}"
            );
        }
    }

    #[test]
    fn letters_beyond_ascii_stay_as_serde_leaves_them() {
        assert_eq!(Case::Pascal.of_field("über_größe"), "überGröße");
        assert_eq!(Case::Camel.of_field("max_über"), "maxüber");
        assert_eq!(Case::Camel.of_variant("Über"), "Über");
    }
}
