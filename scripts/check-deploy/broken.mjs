// Each check of deploy/ must be able to fail: breaks a copy of the files in one way after another, and
// expects a finding. Exits with 1 if a broken file passes.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { checkBackup } from "./backup.mjs";
import { checkCompose } from "./compose.mjs";
import { checkDockerfile } from "./dockerfile.mjs";
import { Checked, run } from "./files.mjs";
import { checkKubernetes } from "./kubernetes.mjs";
import { checkObservability } from "./observability.mjs";
import { checkSystemd } from "./systemd.mjs";

const K8S = "deploy/kubernetes";
const OBS = "deploy/observability";
const BACKUP = "deploy/systemd/stagedoor-backup";
const kubectl = run("kubectl", ["version", "--client"]) ?? run("kustomize", ["version"]);
const promtool = run("promtool", ["--version"]);
const systemd = run("systemd-analyze", ["--version"]);
const sqlite = run("sqlite3", ["--version"]);

// [check, file, text, its replacement, the expected finding]
const BREAKS = [
  [checkDockerfile, "deploy/Dockerfile", "COPY app app", "COPY apps apps", /copies apps, which does not exist/],
  [checkDockerfile, "deploy/Dockerfile", "COPY style style\n", "", /does not copy style, which the build reads/],
  [checkDockerfile, ".dockerignore", "!migrations\n", "", /copies migrations, which .dockerignore keeps out/],
  [checkDockerfile, "deploy/Dockerfile", "EXPOSE 3000", "EXPOSE 3O00", /EXPOSE|exposes/i],
  [checkDockerfile, "deploy/Dockerfile", "USER 10001:10001", "USER root", /user with a number/],
  [checkDockerfile, "deploy/Dockerfile", "\nWORKDIR /data", "\nWORKDIRECTORY /data", /WORKDIRECTORY/],
  [checkDockerfile, "deploy/Dockerfile", "RUN scripts/build.sh", "RUN cargo build --release", /scripts\/build\.sh/],
  [checkDockerfile, "deploy/Dockerfile", "--features embed", "--features other", /does not cook/],
  [checkDockerfile, "deploy/Dockerfile", "rust:1.95.0-slim", "rust:1.94.0-slim", /is not built with Rust/],
  [checkDockerfile, "deploy/Dockerfile", "FROM node:22", "FROM node:18", /Node\.js older/],
  [checkDockerfile, "deploy/Dockerfile", 'CMD ["serve"]', 'CMD ["server"]', /has no command server/],
  [checkDockerfile, "deploy/Dockerfile", "STAGEDOOR_LOG=", "STAGEDOOR_LOGS=", /no setting STAGEDOOR_LOGS/],
  [checkDockerfile, "deploy/Dockerfile", "setup-tools.sh scripts/\n", "scripts/\n", /setup-tools\.sh, which it has not copied/],
  [checkDockerfile, "deploy/Dockerfile", "scripts/env.sh scripts/versions.sh", "scripts/env.sh", /versions\.sh, which it has not copied/],
  [checkDockerfile, "deploy/Dockerfile", "RUN scripts/setup-node.sh", "RUN scripts/setup-nodes.sh", /setup-nodes\.sh, which does not exist/],
  [checkDockerfile, "deploy/Dockerfile", "--version 0.1.78 cargo-chef", "--version 0.1.78 cargo-cook", /cargo chef, which is not installed/],
  [checkDockerfile, "deploy/Dockerfile", "RUN install -d", "RUN sudo install -d", /sudo, which is not installed/],
  [checkDockerfile, "deploy/Dockerfile", "COPY --from=planner", "COPY --from=plan", /copies from plan, which is no earlier stage/],
  [checkDockerfile, "deploy/Dockerfile", '"wasm-bindgen"$', '"wasm-binder"$', /leaves no wasm-bindgen/],
  [checkDockerfile, "scripts/build.sh", "-P --bin-features embed", "-P --bin-features embed,fast", /does not cook/],

  [checkCompose, "deploy/compose.yaml", "    healthcheck:", "    healtcheck:", /additional properties.*healtcheck/],
  [checkCompose, "deploy/compose.yaml", "service_healthy", "service_wealthy", /allowed values/],
  [checkCompose, "deploy/compose.yaml", "      postgres:\n        condition", "      postgre:\n        condition", /waits for postgre,/],
  [checkCompose, "deploy/compose.yaml", "./compose/Caddyfile", "./Caddyfile", /mounts \.\/Caddyfile/],
  [checkCompose, "deploy/compose.yaml", "      - nats:/data", "      - gnats:/data", /mounts gnats/],
  [checkCompose, "deploy/compose.yaml", "command: [serve, --role, web]", "command: [server]", /no command server/],
  [checkCompose, "deploy/compose.yaml", "    SMTP_URL:", "    SMPT_URL:", /no setting SMPT_URL/],
  [checkCompose, "deploy/compose.yaml", "stop_grace_period: 45s", "stop_grace_period: 26s", /seconds to stop/],
  [checkCompose, "deploy/compose.yaml", "172.28.5.2\n    STAGEDOOR_DRAIN_SECONDS", "172.16.0.0/12\n    STAGEDOOR_DRAIN_SECONDS", /whole private networks/],
  [checkCompose, "deploy/compose.yaml", "command: [audit, --record,", "command: [audit,", /no service audits/],
  [checkCompose, "deploy/compose.yaml", "./kubernetes/base/backup-postgres", "./backup-postgres", /mounts \.\/backup-postgres/],
  [checkCompose, "deploy/.env.example", "STRIPE_SECRET_KEY=", "STRIPE_KEY=", /does not say STRIPE_SECRET_KEY/],
  [checkCompose, "deploy/compose.yaml", "redis://:${REDIS_PASSWORD:?set it in deploy/.env}@redis", "redis://redis", /REDIS_URL has no password/],
  [checkCompose, "deploy/compose.yaml", "${GRAFANA_PASSWORD:?set it in deploy/.env}", "${GRAFANA_PASSWORD:-}", /may be empty/],
  [checkCompose, "deploy/compose.yaml", "      POSTGRES_PASSWORD:", "      POSTGRES_USER: stagedoor\n      POSTGRES_PASSWORD:", /is a superuser/],
  [checkCompose, "deploy/compose/make-database.sh", "NOSUPERUSER", "SUPERUSER", /makes a superuser/],
  [checkCompose, `${K8S}/overlays/development/make-database.sh`, "NOCREATEDB", "CREATEDB", /is not the same/],

  [checkKubernetes, `${K8S}/base/web.yaml`, "readinessProbe", "readinesProbe", /readinesProbe is no field/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "replicas: 2", 'replicas: "2"', /replicas type/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "memory: 256Mi", "memory: 256 MB", /quantity/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "apiVersion: apps/v1", "apiVersion: apps/v1beta9", /Kubernetes has no/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "targetPort: http", "targetPort: web", /leads to the port web/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "path: /readyz", "path: /ready", /does not ask \/readyz/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 25", /to stop/],
  [checkKubernetes, `${K8S}/base/web.yaml`, 'value: "5"', 'value: "30"', /to stop/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "name: SMTP_URL", "name: SMTP_URI", /no setting SMTP_URI/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "runAsNonRoot: true", "runAsNonRoot: false", /may run as root/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", /write to its image/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "drop: [ALL]", "drop: [KILL]", /keeps capabilities/],
  [checkKubernetes, `${K8S}/base/migrate.yaml`, "args: [migrate]", "args: [migrations]", /no command migrations/],
  [checkKubernetes, `${K8S}/base/disruption.yaml`, "component: worker", "component: workers", /selects no existing pod/],
  [checkKubernetes, `${K8S}/base/network.yaml`, "name: figures", "name: [figures]", /./],
  [checkKubernetes, `${K8S}/base/kustomization.yaml`, "  - worker.yaml\n", "", /does not name worker\.yaml/],
  [checkKubernetes, `${K8S}/base/kustomization.yaml`, "- worker.yaml", "- workers.yaml", /names workers\.yaml/],
  [checkKubernetes, `${K8S}/base/service-account.yaml`, "kind: ServiceAccount", "kind: Secret", /secrets do not belong/],
  [checkKubernetes, `${K8S}/overlays/production/kustomization.yaml`, "name: stagedoor-web", "name: stagedoor-webs", /a patch is for/],
  [checkKubernetes, `${K8S}/overlays/production/kustomization.yaml`, "path: /spec/replicas", "path: /spec/replica", /a patch is for/],
  [checkKubernetes, `${K8S}/overlays/production/ingress.yaml`, "name: stagedoor-web", "name: stagedoor", /leads to stagedoor:/],
  [checkKubernetes, `${K8S}/overlays/production/scaling.yaml`, "    name: stagedoor-web", "    name: web", /scales Deployment web/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "minReadySeconds: 15", "paused: false", /has no minReadySeconds/],
  [checkKubernetes, `${K8S}/base/worker.yaml`, "whenUnsatisfiable: DoNotSchedule", "whenUnsatisfiable: ScheduleAnyway", /on one node with all/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "              ephemeral-storage: 512Mi\n", "", /fill its node's disk/],
  [checkKubernetes, `${K8S}/base/web.yaml`, "emptyDir:\n            sizeLimit: 256Mi", "emptyDir: {}", /volume data may fill/],
  [checkKubernetes, `${K8S}/base/upkeep.yaml`, "args: [audit,", "args: [audits,", /no command audits/],
  [checkKubernetes, `${K8S}/base/upkeep.yaml`, "component: backup\nspec:\n  schedule", "component: copy\nspec:\n  schedule", /no CronJob does the backup/],
  [checkKubernetes, `${K8S}/base/upkeep.yaml`, 'schedule: "10 3', 'shedule: "10 3', /shedule|schedule/],
  [checkKubernetes, `${K8S}/base/kustomization.yaml`, "files: [backup-postgres]", "files: [backup]", /a ConfigMap of backup,/],
  [checkKubernetes, `${K8S}/overlays/production/network.yaml`, "192.0.2.10/32", "0.0.0.0/0", /allows egress to 0\.0\.0\.0\/0/],
  [checkKubernetes, `${K8S}/base/network.yaml`, "except: [10.0.0.0/8, ", "except: [", /allows egress to 0\.0\.0\.0\/0/],
  [checkKubernetes, `${K8S}/overlays/production/kustomization.yaml`, "digest: sha256:", "newTag: sha256-", /not named by its digest/],
  kubectl && [checkKubernetes, `${K8S}/overlays/production/kustomization.yaml`, "10.244.1.0/24", "10.0.0.0/8", /whole private networks/],
  kubectl && [checkKubernetes, `${K8S}/overlays/development/kustomization.yaml`, "value: NodePort", "value: NodePorts", /enum/],
  kubectl && [checkKubernetes, `${K8S}/overlays/production/kustomization.yaml`, "patches:", "patchs:", /patchs/],
  kubectl && [checkKubernetes, `${K8S}/overlays/production/kustomization.yaml`, "op: remove\n        path: /spec/replicas", "op: replace\n        path: /spec/replicas\n        value: 3", /as does its Horizontal/],

  [checkSystemd, "deploy/systemd/stagedoor.service", "stagedoor serve", "stagedoor server", /no command server/],
  [checkSystemd, "deploy/systemd/stagedoor.service", "TimeoutStopSec=45", "TimeoutStopSec=10", /leaves 10 seconds/],
  [checkSystemd, "deploy/systemd/stagedoor-backup.service", "bin/stagedoor-backup", "bin/stagedoor-copy", /does not exist/],
  systemd && [checkSystemd, "deploy/systemd/stagedoor.service", "ProtectHome=", "ProtectHomes=", /ProtectHomes/],
  systemd && [checkSystemd, "deploy/systemd/stagedoor-audit.timer", "04:10:00", "25:10:00", /./],

  sqlite && [checkBackup, BACKUP, "  [1-9] | [1-9][0-9]", "  [0-9] | [1-9][0-9]", /does not refuse KEEP="0"/],
  sqlite && [checkBackup, BACKUP, "${KEEP-14}", "${KEEP:-14}", /does not refuse KEEP=""/],
  sqlite && [checkBackup, BACKUP, "trap 'remove_unfinished; ", "trap '", /after a full disk there is/],
  sqlite && [checkBackup, BACKUP, '"$unfinished-journal" ', "", /after sqlite3 died there is/],
  sqlite && [checkBackup, BACKUP, '[ "$tables" -gt 0 ]', ":", /copies a database that is not a shop's/],
  sqlite && [checkBackup, BACKUP, "\nnote 1 succeeded", "\n: 1 succeeded", /recorded for a successful run/],
  sqlite && [checkBackup, BACKUP, "; note 0 failed'", "'", /recorded for a failed run/],
  sqlite && [checkBackup, BACKUP, "$((keep + 1))", "$((keep + 2))", /with KEEP=2 keeps/],
  sqlite && [checkBackup, BACKUP, "-name '[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T", "-name '*' -o -name '", /not its own/],

  [checkObservability, `${OBS}/alerts.yaml`, "stagedoor_http_seconds", "stagedoor_http_second", /no figure stagedoor_http_second/],
  [checkObservability, `${OBS}/alerts.yaml`, "#stagedoorslow", "#stagedoorfast", /no section stagedoorfast/],
  [checkObservability, `${OBS}/alerts-test.yaml`, "alertname: StagedoorSlow", "alertname: StagedoorSloe", /nothing tests that StagedoorSlow/],
  [checkObservability, `${OBS}/grafana/dashboards/stagedoor.json`, "stagedoor_refusals_total", "stagedoor_refused_total", /no figure/],
  [checkObservability, `${OBS}/grafana/dashboards/stagedoor.json`, "sum by (code)", "sum by (codes)", /has a label codes/],
  [checkObservability, `${OBS}/alerts.yaml`, '{status="5xx"}', '{state="5xx"}', /has no label state/],
  [checkObservability, "docs/deploy.md", "| `stagedoor_ready` |", "| `stagedoor_readiness` |", /does not say what stagedoor_ready is/],
  [checkObservability, `${OBS}/grafana/dashboards/stagedoor.json`, '"panels": [', '"panels": ', /./],
  promtool && [checkObservability, `${OBS}/alerts.yaml`, "for: 10m", "for: ten minutes", /duration/],
  promtool && [checkObservability, `${OBS}/alerts.yaml`, ") > 1\n", ") > > 1\n", /parse error|unexpected/],
  promtool && [checkObservability, `${OBS}/alerts.yaml`, "stagedoor_redis_up) == 0", "stagedoor_redis_up) == 7", /StagedoorRedisAway/],
  promtool && [checkObservability, `${OBS}/grafana/dashboards/stagedoor.json`, "sum by (code) (", "sum by (code ", /parse error|unexpected/],
  promtool && [checkObservability, `${OBS}/prometheus.yaml`, "dns_sd_configs", "dns_sd_config", /dns_sd_config/],
].filter(Boolean);

const work = mkdtempSync(join(tmpdir(), "stagedoor-broken."));
let passed = 0;
try {
  const copied = ["deploy", "scripts", "docs", ".dockerignore", "Cargo.toml", "rust-toolchain.toml"];
  const linked = ["Cargo.lock", "Leptos.toml", "package.json", "package-lock.json", ".npmrc", ".cargo", "app", "frontend"];
  linked.push("server", "migrations", "public", "style");
  mkdirSync(join(work, "root"));
  for (const name of copied) cpSync(name, join(work, "root", name), { recursive: true });
  for (const name of linked) symlinkSync(resolve(name), join(work, "root", name));
  for (const [check, file, before, after, said] of BREAKS) {
    const path = join(work, "root", file);
    const whole = readFileSync(path, "utf8");
    const broken = whole.replace(before, () => after);
    writeFileSync(path, broken);
    const checked = new Checked(join(work, "root"));
    check(checked);
    writeFileSync(path, whole);
    if (broken === whole) console.log(`${file}: has no ${JSON.stringify(before)} to break`);
    else if (!checked.findings.some((finding) => said.test(finding))) {
      console.log(`${file}: ${JSON.stringify(after)} in place of ${JSON.stringify(before)} is not noticed`);
    } else passed += 1;
  }
} finally {
  rmSync(work, { recursive: true });
}
console.error(`==> ${passed} of ${BREAKS.length} broken files were noticed`);
process.exit(passed === BREAKS.length ? 0 : 1);
