// Checks deploy/ without a container engine or a cluster: node scripts/check-deploy.mjs [ROOT]
// Prints each finding on a line and exits with 1 if there are any; prints which checks were skipped.
import { checkBackup } from "./check-deploy/backup.mjs";
import { checkCompose } from "./check-deploy/compose.mjs";
import { checkDockerfile } from "./check-deploy/dockerfile.mjs";
import { Checked } from "./check-deploy/files.mjs";
import { checkKubernetes } from "./check-deploy/kubernetes.mjs";
import { checkObservability } from "./check-deploy/observability.mjs";
import { checkSystemd } from "./check-deploy/systemd.mjs";

const checked = new Checked(process.argv[2] ?? ".");
for (const check of [checkDockerfile, checkCompose, checkKubernetes, checkSystemd, checkBackup, checkObservability]) check(checked);
for (const sentence of checked.left) console.error(`==> skipped: ${sentence}`);
for (const finding of checked.findings) console.log(finding);
process.exit(checked.findings.length > 0 ? 1 : 0);
