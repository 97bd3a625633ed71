//! Writes the custom resources into the chart hotbay-crds.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/hotbay-crds/templates");
    fs::create_dir_all(&folder)?;
    for (name, text) in hotbay_api::manifests().map_err(io::Error::other)? {
        fs::write(folder.join(&name), text)?;
        println!("{name}");
    }
    Ok(())
}
