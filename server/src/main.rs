//! The entry point of the binary `stagedoor`. Its commands are in `cli.rs`.

use stagedoor::{cli, files::Files};

fn main() -> std::process::ExitCode {
    // A missing .env is not an error, but an unreadable one is.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        eprintln!("error: .env: {error}");
        return std::process::ExitCode::FAILURE;
    }
    let cli = cli::arguments();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(cli::run(cli, files())),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Under `cargo leptos watch` the files are in a folder, which it updates.
#[cfg(not(feature = "embed"))]
fn files() -> Option<Files> {
    None
}

/// In a release the files are embedded.
#[cfg(feature = "embed")]
fn files() -> Option<Files> {
    use rust_embed::RustEmbed;
    use stagedoor::files::File;

    #[derive(RustEmbed)]
    #[folder = "../target/site"]
    #[exclude = "*.d.ts*"]
    struct Site;

    Some(Files::Embedded(|path| {
        let file = Site::get(path)?;
        let (hash, kind) = (
            file.metadata.sha256_hash(),
            file.metadata.mimetype().to_owned(),
        );
        Some(File {
            bytes: file.data,
            hash,
            kind,
        })
    }))
}
