// deploy/Dockerfile: linted; everything that it copies is there and gets past .dockerignore; and it
// builds what scripts/build.sh builds, with the same versions. No image is built here.
import { validate, ValidationSeverity } from "dockerfile-utils";
import { commands, serverSources } from "./files.mjs";

const FILE = "deploy/Dockerfile";

export function checkDockerfile(checked) {
  const text = checked.read(FILE);
  const wrong = (sentence) => checked.wrong(FILE, sentence);
  // Relative COPY targets are fine after a WORKDIR, which the linter sees only within one stage.
  const lints = validate(text, { instructionWorkdirRelative: ValidationSeverity.ERROR });
  for (const { message, range } of lints) wrong(`line ${range.start.line + 1}: ${message}`);
  const copied = copies(checked, text, wrong);
  sameBuild(checked, text, copied, wrong);
  shipped(checked, text, wrong);
}

// Paths that are copied from the repository.
function copies(checked, text, wrong) {
  const allowed = checked
    .read(".dockerignore")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  const copied = new Set();
  for (const [, words] of text.matchAll(/^COPY (?!--from=)(.*)$/gm)) {
    for (const path of words.split(" ").slice(0, -1)) {
      copied.add(path);
      if (!checked.exists(path)) wrong(`copies ${path}, which is not there`);
      if (!allowed.includes(path.split("/")[0])) wrong(`copies ${path}, which .dockerignore keeps out`);
    }
  }
  return copied;
}

// The build is that of scripts/build.sh: by calling it, with all that it looks at, on the toolchain
// that rust-toolchain.toml names. And the dependencies are built as cargo-leptos will ask for them.
function sameBuild(checked, text, copied, wrong) {
  const build = checked.read("scripts/build.sh");
  const inputs = build.match(/^ {2}find (.*?) -type f/ms)?.[1].split(/[\s\\]+/) ?? [];
  if (inputs.length === 0) checked.wrong("scripts/build.sh", "its inputs cannot be read any more");
  for (const input of inputs) {
    if (!copied.has(input) && !copied.has(input.split("/")[0])) wrong(`does not copy ${input}, which the build looks at`);
  }
  if (!/^RUN scripts\/build\.sh$/m.test(text)) wrong("does not build with scripts/build.sh");

  const toolchain = checked.read("rust-toolchain.toml");
  const channel = toolchain.match(/channel = "(.*)"/)[1];
  if (!text.includes(`FROM rust:${channel}-slim-`)) wrong(`is not built with Rust ${channel} of rust-toolchain.toml`);
  const list = (name) => toolchain.match(new RegExp(`${name} = \\[(.*)\\]`))[1].replaceAll(/[",]/g, "");
  if (!text.includes(`rustup component add ${list("components")}`)) wrong("adds other components than rust-toolchain.toml");
  if (!text.includes(`rustup target add ${list("targets")}`)) wrong("adds other targets than rust-toolchain.toml");
  const oldest = Number(checked.read("scripts/versions.sh").match(/^NODE_MIN=(\d+)/m)[1]);
  if (!(Number(text.match(/^FROM node:(\d+)/m)?.[1]) >= oldest)) wrong(`has a Node.js older than ${oldest}`);

  const leptos = checked.read("Cargo.toml").split("[[workspace.metadata.leptos]]")[1];
  const said = (name) => leptos.match(new RegExp(`^${name} = "(.*)"`, "m"))[1];
  const features = build.match(/--bin-features (\S+)/)[1];
  const cooked = text.replaceAll(/\\\n\s*/g, "");
  for (const cook of [
    `--release --package ${said("bin-package")} --bin ${said("bin-target")} --features ${features} `,
    `--profile ${said("lib-profile-release")} --package ${said("lib-package")} --target wasm32-unknown-unknown `,
  ]) {
    if (!cooked.includes(`cargo chef cook --locked ${cook}`)) wrong(`does not cook the dependencies with ${cook.trim()}`);
  }
  if (!text.includes("COPY --from=build /src/target/bin/stagedoor")) wrong("ships something else than the build's binary");
}

function shipped(checked, text, wrong) {
  const last = text.slice(text.lastIndexOf("\nFROM "));
  if (!/^USER \d+:\d+$/m.test(last)) wrong("does not run as a user with a number");
  if (!/^STOPSIGNAL SIGTERM$/m.test(last)) wrong("is not stopped by SIGTERM");
  if (!/^VOLUME \/data$/m.test(last)) wrong("has no volume /data");
  const port = last.match(/STAGEDOOR_ADDR=0\.0\.0\.0:(\d+)/)?.[1];
  if (last.match(/^EXPOSE (\d+)$/m)?.[1] !== port) wrong("exposes another port than it listens on");
  const known = commands(checked);
  const called = [/^HEALTHCHECK .*CMD \["stagedoor", "([a-z-]+)"/m, /^CMD \["([a-z-]+)"/m].map((one) => last.match(one)?.[1]);
  for (const command of called) {
    if (!known.includes(command)) wrong(`stagedoor has no command ${command}`);
  }
  const sources = serverSources(checked);
  for (const [, name] of last.matchAll(/\b(STAGEDOOR_[A-Z_]+)=/g)) {
    if (!sources.includes(`"${name}"`)) wrong(`stagedoor has no setting ${name}`);
  }
}
