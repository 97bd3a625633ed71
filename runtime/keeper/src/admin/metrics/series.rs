//! What modules have measured themselves, below the runtime's own.
//!
//! Owns the label `module` and how much of a page modules may take. The names are theirs; `hotbay-protocol` has held them to Prometheus' rules.

use std::fmt::Write as _;

use hotbay_protocol::{Family, Figures, SeriesSpec, SeriesValue};

use super::{Labels, Text};

/// The keeper has 10 MiB for everything, and a scraper no use for more.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Writes every family that has room, each whole or not at all.
pub(super) fn modules(text: &mut Text, figures: &Figures) {
    let mut left_out = 0_usize;
    for family in figures.families() {
        let begin = text.0.len();
        one_family(text, &family);
        if text.0.len() > MAX_BYTES {
            text.0.truncate(begin);
            left_out += 1;
        }
    }
    if left_out > 0 {
        let _ = writeln!(text.0, "# {left_out} families of modules are left out: this page is full");
    }
}

fn one_family(text: &mut Text, family: &Family<'_>) {
    let help = family.help.replace('\\', "\\\\");
    let (name, kind) = (family.name, family.kind.word());
    // Writing to a String cannot fail.
    let _ = writeln!(text.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (module, spec, value) in &family.series {
        // One that is far too large is not written to its end.
        if text.0.len() > MAX_BYTES {
            return;
        }
        let module = module.to_string();
        let mut labels = vec![("module", module.as_str())];
        labels.extend(spec.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        match value {
            SeriesValue::Number(value) => text.sample(name, &labels, number(*value)),
            SeriesValue::Histogram { counts, sum } => histogram(text, spec, &labels, counts, *sum),
        }
    }
}

fn histogram(text: &mut Text, spec: &SeriesSpec, labels: Labels, counts: &[u64], sum: f64) {
    let name = &spec.family;
    let bucket = format!("{name}_bucket");
    let bounds = spec.bounds().into_iter().map(number).chain(["+Inf".to_owned()]);
    let mut count = 0_u64;
    for (bound, more) in bounds.zip(counts) {
        // A module can write any number there.
        count = count.wrapping_add(*more);
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
        text.sample(&bucket, &labels, count);
    }
    text.sample(&format!("{name}_sum"), labels, number(sum));
    text.sample(&format!("{name}_count"), labels, count);
}

/// As Prometheus writes it.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hotbay_api::EntryKey;
    use hotbay_protocol::{ENGINE_MEMORY_WORDS, EngineMemory, Kind, SeriesTable};
    use hotbay_sys::memory::{SharedWords, create};

    use super::*;

    fn engine() -> (EngineMemory, SeriesTable) {
        let fd = create("test", ENGINE_MEMORY_WORDS).unwrap();
        let memory = EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap();
        memory.name_module(1, &EntryKey::new("shop", "a").unwrap());
        (memory.clone(), SeriesTable::new(memory))
    }

    fn page(figures: &Figures) -> String {
        let mut text = Text(String::new());
        modules(&mut text, figures);
        text.0
    }

    #[test]
    fn modules_figures_stand_there_as_prometheus_wants_them() {
        let (memory, mut table) = engine();
        let label = |value: &str| vec![("kind".to_owned(), value.to_owned())];
        let orders =
            SeriesSpec::new(Kind::Counter, "orders_total", r"C:\orders", label("a \"b\" \\"), &[]).unwrap();
        table.add(1, &orders).unwrap().add(2.5);
        let depth = SeriesSpec::new(Kind::Gauge, "depth", "", vec![], &[]).unwrap();
        table.add(1, &depth).unwrap().set(f64::NEG_INFINITY);
        let took = SeriesSpec::new(Kind::Histogram, "took", "", vec![], &[0.1, 1.0]).unwrap();
        let took = table.add(1, &took).unwrap();
        [0.05, 0.5, 0.5, 7.0].into_iter().for_each(|value| took.observe(value));
        let mut figures = Figures::default();
        figures.add_living(&memory);
        let expected = r#"# HELP depth 
# TYPE depth gauge
depth{module="shop/a"} -Inf
# HELP orders_total C:\\orders
# TYPE orders_total counter
orders_total{module="shop/a",kind="a \"b\" \\"} 2.5
# HELP took 
# TYPE took histogram
took_bucket{module="shop/a",le="0.1"} 1
took_bucket{module="shop/a",le="1"} 3
took_bucket{module="shop/a",le="+Inf"} 4
took_sum{module="shop/a"} 8.05
took_count{module="shop/a"} 4
"#;
        assert_eq!(page(&figures), expected);
    }

    #[test]
    fn a_page_that_is_full_says_so_and_ends_with_a_whole_family() {
        let (memory, mut table) = engine();
        let bounds: Vec<f64> = (0..64).map(f64::from).collect();
        let labels = vec![("l".to_owned(), "x".repeat(256)), ("m".to_owned(), "x".repeat(256))];
        let mut added = 0;
        for n in 0..1000 {
            let spec =
                SeriesSpec::new(Kind::Histogram, &format!("h{n}"), "", labels.clone(), &bounds).unwrap();
            added += usize::from(table.add(1, &spec).is_some());
        }
        let mut figures = Figures::default();
        figures.bury(&memory, BTreeSet::new);
        let page = page(&figures);
        assert!(page.len() < MAX_BYTES + 128, "{} bytes", page.len());
        let told = page.lines().filter(|line| line.starts_with("# TYPE ")).count();
        assert!(
            page.ends_with(&format!(
                "# {} families of modules are left out: this page is full\n",
                added - told
            ))
        );
        assert_eq!(page.matches("_count{").count(), told, "each is whole");
    }
}
