//! Writes what follows from this crate: the custom resources into the chart hotbay-crds, and parts of the user's docs.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let charts = root.join("charts/hotbay-crds/templates");
    fs::create_dir_all(&charts)?;
    for (name, text) in hotbay_api::manifests().map_err(io::Error::other)? {
        fs::write(charts.join(&name), text)?;
        println!("{name}");
    }
    let docs = root.join("docs");
    fs::write(docs.join("reasons.md"), hotbay_api::reasons_page())?;
    println!("docs/reasons.md");
    for section in hotbay_api::sections()? {
        let file = docs.join(section.page);
        let page = fs::read_to_string(&file)?;
        let marks = || io::Error::other(format!("docs/{} lacks a mark of {}", section.page, section.name));
        fs::write(&file, section.put_into(&page).ok_or_else(marks)?)?;
        println!("docs/{}: {}", section.page, section.name);
    }
    Ok(())
}
