// deploy/kubernetes: every resource is valid by Kubernetes' schemas, before and after the overlays, and
// references between resources match.
import { dirname, join, relative } from "node:path";
import { parseAllDocuments } from "yaml";
import { commands, run, serverSources, stopSeconds, tooWide } from "./files.mjs";
import { schemaFindings } from "./schemas.mjs";

const FOLDER = "deploy/kubernetes";

export function checkKubernetes(checked) {
  const kustomizations = checked.below(FOLDER, /\/kustomization\.yaml$/);
  if (kustomizations.length === 0) checked.wrong(FOLDER, "there is no kustomization.yaml");
  for (const file of kustomizations) kustomization(checked, file);
  for (const file of kustomizations.filter((file) => file.includes("/overlays/"))) {
    const rendered = render(checked, file);
    for (const resource of rendered ?? []) {
      for (const finding of schemaFindings(resource)) checked.wrong(file, `${nameOf(resource)}: ${finding}`);
    }
    together(checked, file, rendered ?? gathered(checked, file));
    if (rendered !== undefined) scaledOnce(checked, file, rendered);
  }
}

const nameOf = (resource) => `${resource?.kind} ${resource?.metadata?.name}`;

// Its own resources and those of the folders that it refers to.
function gathered(checked, file) {
  return (checked.documents(file)[0]?.resources ?? []).flatMap((name) => {
    const path = join(dirname(file), name);
    if (checked.exists(join(path, "kustomization.yaml"))) return gathered(checked, join(path, "kustomization.yaml"));
    return checked.exists(path) ? checked.documents(path) : [];
  });
}

// Files that a kustomization names must exist, and files beside it must be named.
function kustomization(checked, file) {
  const [said] = checked.documents(file);
  if (said === undefined) return;
  if (file.includes("/production/")) {
    for (const { name, digest } of said.images ?? []) {
      if (!/^sha256:[0-9a-f]{64}$/.test(digest ?? "")) checked.wrong(file, `the image ${name} is not named by its digest`);
    }
  }
  const folder = dirname(file);
  const named = said.resources ?? [];
  for (const name of named) {
    const path = join(folder, name);
    if (!checked.exists(path)) checked.wrong(file, `names ${name}, which does not exist`);
    else if (name.endsWith(".yaml")) {
      for (const resource of checked.documents(path)) {
        for (const finding of schemaFindings(resource)) checked.wrong(path, `${nameOf(resource)}: ${finding}`);
      }
    }
  }
  for (const path of checked.below(folder, /\.yaml$/)) {
    const name = relative(folder, path);
    if (name !== "kustomization.yaml" && !name.includes("/") && !named.includes(name)) {
      checked.wrong(file, `does not name ${name}, which is beside it`);
    }
  }
  for (const name of (said.configMapGenerator ?? []).flatMap(({ files }) => files ?? [])) {
    if (!checked.exists(join(folder, name))) checked.wrong(file, `makes a ConfigMap of ${name}, which does not exist`);
  }
  const resources = gathered(checked, file);
  for (const { target, patch } of said.patches ?? []) {
    const matching = resources.filter(
      ({ kind, metadata }) => kind === target.kind && new RegExp(`^(${target.name})$`).test(metadata.name),
    );
    if (matching.length === 0) checked.wrong(file, `a patch is for ${target.kind} ${target.name}, which does not exist`);
    for (const { op, path } of parseAllDocuments(patch).flatMap((document) => document.toJS())) {
      const keys = path.split("/").slice(1);
      if (op === "add") keys.pop();
      for (const resource of matching) {
        if (keys.reduce((value, key) => value?.[key], resource) === undefined) {
          checked.wrong(file, `a patch is for ${path} of ${nameOf(resource)}, which does not exist`);
        }
      }
    }
  }
}

// An overlay as rendered by kustomize; undefined without kubectl and kustomize.
function render(checked, file) {
  const folder = checked.path(dirname(file));
  const done = run("kubectl", ["kustomize", folder]) ?? run("kustomize", ["build", folder]);
  if (done === undefined) {
    checked.leftOut("neither kubectl nor kustomize is installed: resources are checked without their overlays' patches");
    return undefined;
  }
  if (done.code !== 0) {
    checked.wrong(file, done.out);
    return undefined;
  }
  return parseAllDocuments(done.stdout).map((document) => document.toJS());
}

function together(checked, file, resources) {
  const wrong = (resource, sentence) => checked.wrong(file, `${nameOf(resource)}: ${sentence}`);
  const kind = (...kinds) => resources.filter((resource) => kinds.includes(resource.kind));
  // A CronJob as the Job that it creates.
  const jobs = kind("CronJob").map((cron) => ({ ...cron, spec: cron.spec.jobTemplate.spec }));
  const workloads = kind("Deployment", "StatefulSet", "Job").concat(jobs);
  const pods = workloads.map(({ spec }) => spec.template);
  const services = kind("Service");
  for (const secret of kind("Secret")) wrong(secret, "secrets do not belong in the repository");
  for (const resource of kind("Deployment", "StatefulSet")) {
    if (!matches(resource.spec.selector, resource.spec.template)) wrong(resource, "selects other pods than its own");
  }
  for (const resource of kind("PodDisruptionBudget", "NetworkPolicy")) {
    const selector = resource.spec.selector ?? resource.spec.podSelector;
    // cert-manager's pods exist only temporarily.
    if (selector.matchLabels?.["acme.cert-manager.io/http01-solver"] === "true") continue;
    if (!pods.some((pod) => matches(selector, pod))) wrong(resource, "selects no existing pod");
  }
  for (const service of services) {
    const behind = pods.filter((pod) => matches({ matchLabels: service.spec.selector }, pod));
    if (behind.length === 0) wrong(service, "selects no existing pod");
    for (const { targetPort } of service.spec.ports) {
      for (const pod of behind) {
        if (typeof targetPort === "string" && !portNames(pod).includes(targetPort)) {
          wrong(service, `leads to the port ${targetPort}, which its pods do not have`);
        }
      }
    }
  }
  for (const { spec } of kind("StatefulSet")) {
    if (!services.some(({ metadata }) => metadata.name === spec.serviceName)) {
      checked.wrong(file, `there is no Service ${spec.serviceName} for the StatefulSet of that name`);
    }
  }
  for (const resource of kind("HorizontalPodAutoscaler")) {
    const { kind: target, name } = resource.spec.scaleTargetRef;
    if (!workloads.some((workload) => workload.kind === target && workload.metadata.name === name)) {
      wrong(resource, `scales ${target} ${name}, which does not exist`);
    }
  }
  for (const resource of kind("Ingress")) {
    for (const { backend } of resource.spec.rules.flatMap(({ http }) => http.paths)) {
      const service = services.find(({ metadata }) => metadata.name === backend.service.name);
      if (!service?.spec.ports.some(({ name }) => name === backend.service.port.name)) {
        wrong(resource, `leads to ${backend.service.name}:${backend.service.port.name}, which does not exist`);
      }
    }
  }
  for (const policy of kind("NetworkPolicy")) narrow(policy, wrong);
  for (const task of ["audit", "backup"]) {
    const runs = kind("CronJob").some(({ metadata }) => metadata.labels?.["app.kubernetes.io/component"] === task);
    if (!runs) checked.wrong(file, `no CronJob does the ${task}`);
  }
  for (const workload of workloads) restricted(workload, wrong);
  for (const workload of workloads.filter(isStagedoor)) ours(checked, workload, resources, wrong);
}

// An autoscaled resource must not set replicas itself: each `kubectl apply` would reset them.
function scaledOnce(checked, file, resources) {
  const targets = resources.filter(({ kind }) => kind === "HorizontalPodAutoscaler").map(({ spec }) => spec.scaleTargetRef.name);
  for (const resource of resources) {
    if (targets.includes(resource.metadata.name) && resource.spec.replicas !== undefined) {
      checked.wrong(file, `${nameOf(resource)}: sets replicas, as does its HorizontalPodAutoscaler`);
    }
  }
}

function matches(selector, pod) {
  const labels = pod.metadata?.labels ?? {};
  const all = Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return (
    all &&
    (selector?.matchExpressions ?? []).every(
      ({ key, operator, values }) => operator === "In" && values.includes(labels[key]),
    )
  );
}
const portNames = (pod) => pod.spec.containers.flatMap(({ ports }) => (ports ?? []).map(({ name }) => name));
const isStagedoor = ({ metadata }) => metadata.name.startsWith("stagedoor-");

// Egress to the cluster or its network needs a specific address. Only HTTPS may go to all of the internet,
// without private addresses.
const PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"];
function narrow(policy, wrong) {
  for (const { to, ports } of policy.spec.egress ?? []) {
    for (const { ipBlock } of to ?? []) {
      if (ipBlock === undefined || !/^(0\.0\.0\.0|::)\/0$/.test(ipBlock.cidr)) continue;
      const https = (ports ?? []).length > 0 && ports.every(({ port }) => port === 443);
      if (!https || !PRIVATE.every((range) => ipBlock.except?.includes(range))) {
        wrong(policy, `allows egress to ${ipBlock.cidr}, beyond HTTPS on the internet`);
      }
    }
  }
}

// The requirements of the namespace's policy `restricted`, and resource limits.
function restricted(workload, wrong) {
  const { spec } = workload.spec.template;
  if (spec.securityContext?.runAsNonRoot !== true) wrong(workload, "may run as root");
  if (spec.securityContext?.seccompProfile?.type !== "RuntimeDefault") wrong(workload, "has no seccomp profile");
  if (spec.automountServiceAccountToken !== false) wrong(workload, "gets a token for the API server");
  for (const { name, emptyDir } of spec.volumes ?? []) {
    if (emptyDir && !emptyDir.sizeLimit) wrong(workload, `its volume ${name} may fill its node's disk`);
  }
  for (const { name, securityContext, resources } of spec.containers) {
    if (securityContext?.allowPrivilegeEscalation !== false) wrong(workload, `${name} may gain privileges`);
    if (!securityContext?.capabilities?.drop?.includes("ALL")) wrong(workload, `${name} keeps capabilities`);
    if (securityContext?.readOnlyRootFilesystem !== true) wrong(workload, `${name} may write to its image`);
    if (!resources?.requests?.cpu || !resources?.requests?.memory || !resources?.limits?.memory) {
      wrong(workload, `${name} sets no resource requests and limits`);
    }
    if (!resources?.requests?.["ephemeral-storage"] || !resources?.limits?.["ephemeral-storage"]) {
      wrong(workload, `${name} may fill its node's disk`);
    }
  }
}

// Stagedoor's own processes need a command and settings that exist, probes, and time to stop.
function ours(checked, workload, resources, wrong) {
  const { spec } = workload.spec.template;
  const [container] = spec.containers;
  const known = commands(checked);
  const sources = serverSources(checked);
  if (!known.includes(container.args?.[0])) wrong(workload, `stagedoor has no command ${container.args?.[0]}`);
  const settings = {};
  for (const { configMapRef } of container.envFrom ?? []) {
    const found = resources.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name === configMapRef.name);
    Object.assign(settings, found?.data);
  }
  for (const { name, value } of container.env ?? []) settings[name] = value;
  for (const name of Object.keys(settings)) {
    if (!sources.includes(`"${name}"`)) wrong(workload, `stagedoor has no setting ${name}`);
  }
  const proxies = tooWide(settings.STAGEDOOR_TRUSTED_PROXIES);
  if (proxies.length > 0) wrong(workload, `trusts whole private networks: ${proxies}`);
  if (workload.kind !== "Deployment") return;
  if (!(workload.spec.minReadySeconds > 0)) wrong(workload, "has no minReadySeconds");
  const spread = spec.topologySpreadConstraints ?? [];
  if (!spread.some((one) => one.topologyKey === "kubernetes.io/hostname" && one.whenUnsatisfiable === "DoNotSchedule")) {
    wrong(workload, "may be on one node with all of its kind");
  }
  for (const [probe, path] of [
    ["startupProbe", "/healthz"],
    ["livenessProbe", "/healthz"],
    ["readinessProbe", "/readyz"],
  ]) {
    if (container[probe]?.httpGet?.path !== path) wrong(workload, `its ${probe} does not ask ${path}`);
  }
  const needed = stopSeconds(checked, settings) + (container.lifecycle?.preStop?.sleep?.seconds ?? 0);
  if (!(spec.terminationGracePeriodSeconds > needed)) {
    wrong(workload, `it needs more than ${needed} seconds to stop, and has ${spec.terminationGracePeriodSeconds}`);
  }
}
