import type { Scalar } from "./node.js";

const NULLS = ["", "~", "null", "Null", "NULL"];
const TRUES = ["true", "True", "TRUE"];
const FALSES = ["false", "False", "FALSE"];
const DECIMAL_PATTERN = /^[-+]?[0-9][0-9_]*$/;
const LEGACY_OCTAL = /^0[0-7_]+$/;
const RADIX_PATTERN = /^0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)$/;
const FLOAT_PATTERN = /^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$/;

/**
 * Returns the value of an unquoted scalar in the core schema of YAML 1.2, with the three older integer forms that
 * Compose also accepts (`0755`, `1_000`, `0b101`). `yes`, `on`, dates and `22:22` are text.
 */
export function resolvePlainScalar(text: string): Scalar {
  if (NULLS.includes(text)) return null;
  if (TRUES.includes(text)) return true;
  if (FALSES.includes(text)) return false;
  const first = text.charCodeAt(0);
  const mayBeNumber = (first >= 48 && first <= 57) || text[0] === "-" || text[0] === "+" || text[0] === ".";
  return mayBeNumber ? (parseNumber(text) ?? text) : text;
}

function parseNumber(text: string): number | undefined {
  const digits = text.replaceAll("_", "");
  if (LEGACY_OCTAL.test(text)) return safeInteger(Number.parseInt(digits, 8));
  if (RADIX_PATTERN.test(text)) return safeInteger(Number(digits));
  if (DECIMAL_PATTERN.test(text)) return safeInteger(Number(digits));
  if (!FLOAT_PATTERN.test(text)) return undefined;
  const value = Number(digits);
  return Number.isFinite(value) ? value : undefined;
}

/** Returns undefined for an integer beyond 2^53, which stays text: it is an ID, not an amount. */
function safeInteger(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined;
}
