// Runs deploy/systemd/stagedoor-backup on test databases and folders: checks what it keeps, what it
// refuses, and what it leaves when it fails.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./files.mjs";

const SCRIPT = "deploy/systemd/stagedoor-backup";
const OLD = ["20260101T000000Z.db", "20260102T000000Z.db", "20260103T000000Z.db"];
// Not its own copies, so it must not remove them.
const OTHERS = ["customers.db", "20260101.db", "20260101T000000Z.db.gz"];
const REFUSED = ["0", "", "-1", "+3", "00", "08", "1.5", "all", " 3", "3 4", "1e3", "10000", "99999999999999999999"];

export function checkBackup(checked) {
  if (run("sqlite3", ["--version"]) === undefined) {
    checked.leftOut("sqlite3 is not installed: stagedoor-backup was not run");
    return;
  }
  const work = mkdtempSync(join(tmpdir(), "stagedoor-backup."));
  try {
    keeps(checked, new Backups(checked, work, "a shop's own"));
    for (const keep of REFUSED) refuses(checked, new Backups(checked, work, `keep ${REFUSED.indexOf(keep)}`), keep);
    failsCleanly(checked, new Backups(checked, work, "full"));
    diesCleanly(checked, new Backups(checked, work, "killed"));
    notesFailures(checked, new Backups(checked, work, "refused"));
    refusesNothing(checked, new Backups(checked, work, "empty"));
  } finally {
    rmSync(work, { recursive: true });
  }
}

// A database, and a folder with three copies and other files.
class Backups {
  constructor(checked, work, name) {
    this.script = checked.path(SCRIPT);
    this.database = join(work, `${name}.db`);
    this.target = join(work, name);
    mkdirSync(this.target);
    for (const file of OLD.concat(OTHERS)) writeFileSync(join(this.target, file), file);
    // Two megabytes, so that a limit of one ends the copy midway.
    const rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) ";
    this.sql(`CREATE TABLE t (a); ${rows} INSERT INTO t SELECT randomblob(1000) FROM n`);
    for (const file of checked.below("migrations", /^migrations\/\d+_operations\.sql$/)) this.sql(checked.read(file));
  }
  // The last run as recorded in the database: whether it succeeded, and whether any run ever did.
  noted() {
    const asked = "SELECT succeeded, succeeded_at > 1700000000000000 FROM task_runs WHERE task = 'backup'";
    return run("sqlite3", [this.database, asked]).out;
  }
  sql(text) {
    const { code, out } = run("sqlite3", [this.database], { input: text });
    if (code !== 0) throw new Error(out);
  }
  copy(env, before = "") {
    const command = `${before} exec sh "$0" "$1" "$2"`;
    return run("bash", ["-c", command, this.script, this.database, this.target], { env: { ...process.env, KEEP: undefined, ...env } });
  }
  files() {
    return readdirSync(this.target).sort();
  }
  copies() {
    return this.files().filter((name) => !OTHERS.includes(name));
  }
}

const same = (some, others) => some.join() === others.toSorted().join();

function keeps(checked, backups) {
  const stale = "20260101T000000Z.db.77.new-journal";
  writeFileSync(join(backups.target, stale), "");
  utimesSync(join(backups.target, stale), 0, 0);
  const { code, out } = backups.copy({ KEEP: "2" });
  const copies = backups.copies();
  if (code !== 0) checked.wrong(SCRIPT, `fails: ${out}`);
  if (!same(backups.files(), OTHERS.concat(copies))) checked.wrong(SCRIPT, "removes files that are not its own");
  if (copies.includes(stale)) checked.wrong(SCRIPT, "does not remove the leftovers of a killed run");
  if (copies.length !== 2 || copies[0] !== OLD[2]) checked.wrong(SCRIPT, `with KEEP=2 keeps ${copies}`);
  if (backups.noted() !== "1|1") checked.wrong(SCRIPT, `recorded for a successful run: ${backups.noted()}`);
  const rows = run("sqlite3", [join(backups.target, copies.at(-1)), "SELECT COUNT(*) FROM t"]);
  if (rows.out !== "2000") checked.wrong(SCRIPT, `the copy has other rows: ${rows.out}`);
  if (backups.copy({}).code !== 0 || backups.copies().length > 4) checked.wrong(SCRIPT, "does not run without KEEP");
}

function refuses(checked, backups, keep) {
  const before = backups.files();
  const { code, out } = backups.copy({ KEEP: keep });
  if (code === 0 || !out.includes("KEEP")) checked.wrong(SCRIPT, `does not refuse KEEP=${JSON.stringify(keep)}`);
  if (!same(backups.files(), before)) checked.wrong(SCRIPT, `changes copies with KEEP=${JSON.stringify(keep)}`);
}

// A limit on file size simulates a full disk: the write fails midway.
function failsCleanly(checked, backups) {
  const before = backups.files();
  const full = backups.copy({ KEEP: "1" }, "trap '' XFSZ; ulimit -f 1024;");
  if (full.code === 0) checked.wrong(SCRIPT, "does not notice a full disk");
  if (!same(backups.files(), before)) checked.wrong(SCRIPT, `after a full disk there is ${backups.files()}`);
}

// The program dies midway.
function diesCleanly(checked, backups) {
  const before = backups.files();
  const killed = backups.copy({ KEEP: "1" }, "ulimit -f 1024;");
  if (killed.code === 0) checked.wrong(SCRIPT, "does not notice that sqlite3 died");
  if (!same(backups.files(), before)) checked.wrong(SCRIPT, `after sqlite3 died there is ${backups.files()}`);
}

// The database is writable, but the folder of the copies is not.
function notesFailures(checked, backups) {
  const shims = join(backups.target, "..", "shims");
  mkdirSync(shims);
  writeFileSync(join(shims, "date"), "#!/bin/sh\necho no/such/folder\n", { mode: 0o755 });
  const { code } = backups.copy({ PATH: `${shims}:${process.env.PATH}` });
  if (code === 0) checked.wrong(SCRIPT, "does not notice that the copy could not be made");
  if (backups.noted() !== "0|") checked.wrong(SCRIPT, `recorded for a failed run: ${backups.noted()}`);
}

function refusesNothing(checked, backups) {
  const before = backups.files();
  rmSync(backups.database);
  for (const make of [() => {}, () => writeFileSync(backups.database, ""), () => writeFileSync(backups.database, "no database".repeat(999))]) {
    make();
    if (backups.copy({ KEEP: "1" }).code === 0) checked.wrong(SCRIPT, "copies a database that is not a shop's");
    if (!same(backups.files(), before)) checked.wrong(SCRIPT, "removes copies for a database that is not a shop's");
  }
}
