import { BerthError, type DeployPlan, type DeployStackRequest } from "@berth/proto";
import type { ControlClient } from "../../../client/client.js";
import { retryDuringElection } from "../../../client/leader-change.js";
import { printJson, printWarning } from "../../../output/print.js";
import { styled } from "../../../output/style.js";
import type { Cli, GlobalOptions, Terminal } from "../../../process/cli.js";
import { planJson } from "./plan-json.js";
import { renderPlan } from "./render-plan.js";

/** Timeout of the plan call. Planning a large stack takes longer than other calls. */
const PLAN_TIMEOUT_MS = 60_000;

/** `berth stack deploy --dry-run`: prints the plan for the request. */
export async function showPlan(
  cli: Cli,
  client: ControlClient,
  { request, options }: { readonly request: DeployStackRequest; readonly options: GlobalOptions },
): Promise<void> {
  const plan = await fetchPlan(cli, client, request);
  if (options.output === "json") {
    printJson(cli, planJson(request.stack, plan));
  } else {
    writePlan(cli, cli.stdout, { stack: request.stack, plan });
  }
}

/** Prints the current plan after `--plan-rev` was rejected because the plan has changed. */
export async function showCurrentPlan(
  cli: Cli,
  client: ControlClient,
  request: DeployStackRequest,
): Promise<void> {
  const plan = await fetchPlan(cli, client, request);
  cli.stderr.write("Current plan:\n");
  writePlan(cli, cli.stderr, { stack: request.stack, plan });
}

async function fetchPlan(cli: Cli, client: ControlClient, request: DeployStackRequest): Promise<DeployPlan> {
  const dryRun = { ...request, dryRun: true, planRev: "" };
  const call = { signal: cli.signal, timeoutMs: PLAN_TIMEOUT_MS };
  const { plan, warnings } = await retryDuringElection(cli, () => client.deployStack(dryRun, call));
  for (const warning of warnings) printWarning(cli, warning);
  if (plan !== undefined) return plan;
  const message = "the server is too old for --dry-run; upgrade it first";
  throw new BerthError({ code: "BERTH_UNSUPPORTED", message });
}

function writePlan(
  cli: Cli,
  terminal: Terminal,
  { stack, plan }: { readonly stack: string; readonly plan: DeployPlan },
): void {
  const lines = renderPlan(stack, plan, (style, text) => styled(cli, terminal, style, text));
  terminal.write(lines.map((line) => `${line}\n`).join(""));
}
