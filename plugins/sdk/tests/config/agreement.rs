//! The schema and the parser agree: thousands of values, right and wrong, made from the schema itself.

use hotbay_sdk::{Config, ModuleConfig, config_schema};
use serde_json::{Map, Value, json};

use crate::types::{ByFunction, Enums, Forms, Limits, Nested};

const VALUES: usize = 20_000;
const DURATION: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap() % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.throw(sides) == 0
    }

    /// Whether something is to be wrong here: so rarely that a value of many parts is right about half of the time.
    fn is_flawed(&mut self) -> bool {
        self.one_in(100)
    }

    fn choose<'a>(&mut self, from: &'a [Value]) -> &'a Value {
        &from[self.throw(from.len())]
    }

    fn anything(&mut self) -> Value {
        let some = [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(7),
            json!(1.0),
            json!(-300.0),
            json!(0.5),
            json!(256),
            json!(1e300),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(""),
            json!("a"),
            json!("ab"),
            json!("Unit"),
            json!("10.0.0.1"),
            json!("::1"),
            json!({}),
            json!({"a": 1}),
            json!({"kind": "memory"}),
            json!({"Unit": null}),
            json!([]),
            json!([1]),
            json!([1, 2]),
            json!([[]]),
        ];
        self.choose(&some).clone()
    }

    /// A value that mostly fits `schema`.
    fn value(&mut self, schema: &Value) -> Value {
        if self.is_flawed() {
            return self.anything();
        }
        if let Some(forms) = schema["anyOf"].as_array() {
            let form = self.choose(forms).clone();
            return self.value(&form);
        }
        if let Some(names) = schema["enum"].as_array() {
            return self.choose(names).clone();
        }
        if let Some(name) = schema.get("const") {
            return name.clone();
        }
        let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
        match self.choose(&kinds).as_str() {
            Some("object") => self.object(schema),
            Some("array") => self.list(schema),
            Some("integer") => self.whole(schema),
            Some("number") => [json!(0.5), json!(3), json!(-2.5), json!(1.0)][self.throw(4)].clone(),
            Some("boolean") => json!(self.one_in(2)),
            Some("string") if schema["maxLength"] == 1 && !self.is_flawed() => json!("é"),
            Some("string") if schema["pattern"] == DURATION && !self.is_flawed() => self.duration(),
            Some("string") => {
                let texts =
                    [json!(""), json!("a"), json!("abcdefgh"), json!("10.0.0.1"), json!("::1"), json!("é")];
                self.choose(&texts).clone()
            }
            Some("null") => Value::Null,
            _ => self.anything(),
        }
    }

    /// Of the letters that durations are made of; two in three are one.
    fn duration(&mut self) -> Value {
        if self.throw(3) > 0 {
            let some =
                ["0s", "10s", "1m30s", "250ms", "1h1h1h1h", "99999ms", "3ms4m"].map(|text| json!(text));
            return self.choose(&some).clone();
        }
        let length = self.throw(9);
        (0..length).map(|_| char::from(b"0159hms"[self.throw(7)])).collect::<String>().into()
    }

    fn whole(&mut self, schema: &Value) -> Value {
        let (least, greatest) = (&schema["minimum"], &schema["maximum"]);
        let beyond = greatest
            .as_u64()
            .and_then(|greatest| greatest.checked_add(1))
            .map_or(json!(0.25), |above| json!(above));
        let below =
            least.as_i64().and_then(|least| least.checked_sub(1)).map_or(json!(0.25), |below| json!(below));
        match self.throw(10) {
            0 if self.one_in(5) => beyond,
            1 if self.one_in(5) => below,
            2 => json!(2.0),
            3 => greatest.clone(),
            4 => least.clone(),
            _ => json!(self.throw(100)),
        }
    }

    fn list(&mut self, schema: &Value) -> Value {
        if let Some(parts) = schema["prefixItems"].as_array() {
            let mut items: Vec<Value> = parts.iter().map(|part| self.value(part)).collect();
            if self.is_flawed() {
                items.pop();
            } else if self.is_flawed() {
                items.push(json!(1));
            }
            return items.into();
        }
        let length =
            schema["minItems"].as_u64().filter(|_| !self.is_flawed()).unwrap_or_else(|| self.throw(4) as u64);
        (0..length).map(|_| self.value(&schema["items"])).collect()
    }

    fn object(&mut self, schema: &Value) -> Value {
        let mut fields = Map::new();
        if let Some(known) = schema["properties"].as_object() {
            for (name, schema) in known {
                if !self.is_flawed() {
                    fields.insert(name.clone(), self.value(schema));
                }
            }
        }
        if schema["additionalProperties"].is_object() {
            fields.insert("x".to_owned(), self.value(&schema["additionalProperties"]));
        }
        if self.is_flawed() {
            fields.insert("unknown".to_owned(), self.anything());
        }
        fields.into()
    }
}

struct Counted {
    fitting: usize,
    refused: usize,
}

/// Whether the type's own bounds are all in the Rust type, so that the parser knows them too.
#[derive(PartialEq)]
enum Parser {
    KnowsAll,
    KnowsLess,
}

fn agree<T: ModuleConfig>(parser: &Parser) -> Counted {
    let schema: Value = serde_json::from_str(&config_schema::<T>()).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut counted = Counted { fitting: 0, refused: 0 };
    for _ in 0..VALUES {
        let value = dice.value(&schema);
        let parsed = Config::new("", value.to_string()).parse::<T>();
        let fits = validator.is_valid(&value);
        if let (true, Err(error)) = (fits, &parsed) {
            panic!("{value} fits the schema and the parser says {error}");
        }
        if !fits && parsed.is_ok() && *parser == Parser::KnowsAll {
            panic!(
                "{value} is parsed and the schema says {:?}",
                validator.validate(&value).unwrap_err().to_string()
            );
        }
        counted.fitting += usize::from(fits);
        counted.refused += usize::from(!fits);
    }
    counted
}

/// Values of both kinds are needed to tell anything.
fn enough(counted: &Counted) {
    assert!(counted.fitting > VALUES / 50 && counted.refused > VALUES / 50, "{} fit", counted.fitting);
}

#[derive(serde::Deserialize, ModuleConfig)]
struct Wait {
    _wait: std::time::Duration,
    _pause: hotbay_sdk::DurationText,
}

#[test]
fn a_duration_has_one_form_in_schema_and_parser() {
    enough(&agree::<Wait>(&Parser::KnowsAll));
}

#[test]
fn what_types_say_is_what_the_parser_takes_both_ways() {
    enough(&agree::<Forms>(&Parser::KnowsAll));
    enough(&agree::<Nested>(&Parser::KnowsAll));
}

#[test]
fn what_fits_the_schema_is_parsed_whatever_else_it_says() {
    enough(&agree::<Limits>(&Parser::KnowsLess));
}

/// serde keeps what it has read before it knows a tag, and what is kept may also be a list for a struct, or a number for a variant.
#[test]
fn what_fits_the_schema_of_an_enum_is_parsed() {
    enough(&agree::<Enums>(&Parser::KnowsLess));
}

#[test]
fn a_function_may_refuse_more_and_takes_no_less() {
    let parsed = |json: &str| Config::new("", json).parse::<ByFunction>().is_ok();
    let schema: Value = serde_json::from_str(&config_schema::<ByFunction>()).unwrap();
    assert_eq!(schema["required"], json!(["length", "even"]));
    assert!(
        parsed(r#"{"length": null, "even": 2}"#)
            && !parsed(r#"{"even": 2}"#)
            && !parsed(r#"{"length": null, "even": 3}"#)
    );
}
