// Holds the PodMonitor on standard input against the types of the Prometheus Operator.
import { readFileSync } from "node:fs";
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const monitor = JSON.parse(readFileSync(0, "utf8"));
new PodMonitor(monitor).validate();
let isRefused = false;
try {
  new PodMonitor({ ...monitor, spec: { ...monitor.spec, podMetricsEndpoints: "none" } }).validate();
} catch {
  isRefused = true;
}
if (!isRefused) throw new Error("the validator takes anything");
console.log("the PodMonitor is one");
