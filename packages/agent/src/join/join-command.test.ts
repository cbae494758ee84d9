import { expect, it } from "vitest";
import { DEFAULT_DATA_DIR } from "../config.js";
import { startCommand } from "./join-command.js";

const advertise = "10.0.0.11";

it.each([
  ["the unit of the package", { advertise }, DEFAULT_DATA_DIR, true, "systemctl enable --now berth-agent"],
  ["the program without that unit", { advertise }, DEFAULT_DATA_DIR, false, "berth agent"],
  ["the program with another data directory", { advertise }, "/data", true, "berth agent --data-dir /data"],
  [
    "the program without an address",
    { advertise: undefined },
    DEFAULT_DATA_DIR,
    true,
    "berth agent --advertise ADDRESS",
  ],
])("startCommand() starts %s", (_, joined, dataDir, hasUnit, expected) => {
  expect(startCommand(joined, dataDir, hasUnit)).toBe(expected);
});
