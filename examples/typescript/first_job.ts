// Submits a job, waits for its end and reads its bill, as whoever `suan` would be here.
//
// Prints one line: job, state, account, what was charged in 10^-6 of the currency, currency.

import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { type CallOptions, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { parse } from "smol-toml";
import { AccountingService } from "suanmesh/accounting/v1/accounting_service_pb.js";
import type { Bill } from "suanmesh/accounting/v1/usage_pb.js";
import { type Job, Job_State } from "suanmesh/scheduler/v1/job_pb.js";
import { SchedulerService } from "suanmesh/scheduler/v1/scheduler_service_pb.js";

/** One way to talk to one mesh: what the file of contexts says of it. */
interface Context {
  gateway: string;
  node: string;
  account?: string;
  ca: string;
  cert: string;
  key: string;
}

interface ContextFile {
  current?: string;
  contexts?: Record<string, Context>;
}

/** The files of contexts that `suan` reads, nearest first; SUANMESH_CONFIG names the only one. */
function contextFiles(): string[] {
  const { SUANMESH_CONFIG: only, XDG_CONFIG_HOME: xdg, HOME: home = "/" } = process.env;
  if (only) return [only];
  const user = join(xdg || join(home, ".config"), "suanmesh/config.toml");
  return ["suanmesh.toml", "build/dev/config.toml", user, "/etc/xdg/suanmesh/config.toml"].filter(existsSync);
}

/** The context that SUANMESH_CONTEXT names, or the current one of the nearest file. */
function currentContext(): Context {
  const read = contextFiles().map((path) => ({
    folder: dirname(path),
    file: parse(readFileSync(path, "utf8")) as ContextFile,
  }));
  const wanted = process.env.SUANMESH_CONTEXT || read.map(({ file }) => file.current).find(Boolean) || "";
  for (const { folder, file } of read) {
    const said = file.contexts?.[wanted];
    if (said) {
      const [ca, cert, key] = [said.ca, said.cert, said.key].map((path) => resolve(folder, path)) as [string, string, string];
      return { ...said, ca, cert, key };
    }
  }
  throw new Error(`there is no context '${wanted}'; start a mesh with \`suan dev\`, or set SUANMESH_CONFIG`);
}

/** The gateways, whose certificates must be those of the node's gateway whatever their addresses are called. */
function connect(context: Context): Transport[] {
  const nodeOptions = {
    ca: readFileSync(context.ca),
    cert: readFileSync(context.cert),
    key: readFileSync(context.key),
    servername: `gateway.${context.node}.suanmesh`,
  };
  return context.gateway.split(",").map((gateway) =>
    createGrpcTransport({
      baseUrl: `https://${gateway.trim()}`,
      nodeOptions,
      pingIntervalMs: 20_000, // one that has frozen is noticed
      pingTimeoutMs: 5_000,
    }),
  );
}

const context = currentContext();
const meshes = connect(context).map((transport) => ({
  jobs: createClient(SchedulerService, transport),
  money: createClient(AccountingService, transport),
}));
type Mesh = (typeof meshes)[number];
let used = 0;

/** What a call ends with that no server answered: the connection was refused or broke, or its time was over. */
const AWAY = [Code.Unavailable, Code.Aborted, Code.Canceled, Code.DeadlineExceeded];

/**
 * Makes a call, and again at the next gateway while nobody answers it within `attemptMs`, until `limitMs` from now.
 *
 * For calls that do nothing more the second time: what reads, and what has a request id.
 */
async function insist<T>(
  limitMs: number,
  attemptMs: number,
  call: (mesh: Mesh, options: CallOptions) => Promise<T>,
): Promise<T> {
  const end = performance.now() + limitMs;
  for (let pauseMs = 50; ; pauseMs = Math.min(2 * pauseMs, 1000)) {
    try {
      return await call(meshes[used]!, { timeoutMs: Math.ceil(Math.min(attemptMs, end - performance.now())) });
    } catch (error) {
      const restMs = pauseMs * (0.5 + Math.random() / 2);
      if (!AWAY.includes(ConnectError.from(error).code) || performance.now() + restMs >= end) throw error;
      used = (used + 1) % meshes.length;
      await pause(restMs);
    }
  }
}

async function submit(): Promise<Job> {
  const request = {
    requestId: randomUUID(), // makes a repeated call do nothing more
    items: [
      {
        job: {
          account: context.account ?? "",
          displayName: "from TypeScript",
          maxDurationS: 60n,
          ask: { cpuMilli: 100n, memoryBytes: 64n << 20n },
          package: { variants: [{ runtime: "python3", command: ["python3", "-c", "print(6 * 7)"] }] },
        },
      },
    ],
  };
  const { results } = await insist(30_000, 5_000, (mesh, options) => mesh.jobs.submitJobs(request, options));
  const result = results[0]?.result;
  if (result?.case !== "job") throw new Error(result?.case === "error" ? result.value.message : "no job was made");
  return result.value;
}

async function waitFor(name: string): Promise<Job> {
  let seen: Job | undefined;
  await insist(120_000, 120_000, async (mesh, options) => {
    for await (const job of mesh.jobs.watchJob({ name }, options)) seen = job; // ends with the job; tells all when opened anew
  });
  if (!seen?.endTime) throw new Error("the stream ended before the job did");
  return seen;
}

/** The bill of a job, once nothing is held for it any more. */
async function billOf(job: Job): Promise<Bill> {
  for (let attempt = 0; attempt < 120; attempt++) {
    const request = { account: job.account, job: job.name };
    const bill = await insist(30_000, 5_000, (mesh, options) => mesh.money.getBill(request, options));
    if (bill.heldMicros === 0n && bill.charges.length > 0) return bill;
    await pause(250);
  }
  throw new Error("the job was not billed");
}

const ended = await waitFor((await submit()).name);
const bill = await billOf(ended);
console.log(ended.name, `STATE_${Job_State[ended.state]}`, bill.account, `${bill.totalMicros}`, bill.currency);
process.exit(ended.state === Job_State.DONE ? 0 : 1); // connections that are open would keep it
