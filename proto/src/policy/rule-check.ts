import { matchesGlob } from "../glob.js";
import type { Violation } from "../spec/violation.js";
import type { PolicyListKey, ResolvedList, ResolvedRule } from "./policy-rule.js";

/** Maximum number of entries of a list in a message. */
const MAX_LISTED = 6;
/** Maximum number of characters of a spec's value in a message. */
const MAX_VALUE_LENGTH = 120;

/** The files of a host that give control over it. */
export interface HostFiles {
  /** Directories and sockets of berth. */
  readonly berth: readonly string[];
  /** Sockets of Docker and containerd, and directories with such sockets. */
  readonly docker: readonly string[];
}

/** A part of a spec that a rule denies. */
export interface RuleViolation extends Violation {
  /** Name of the rule. */
  readonly rule: string;
}

/** Collects the violations of one rule. */
export class RuleCheck {
  readonly violations: RuleViolation[] = [];
  readonly rule: ResolvedRule;
  readonly files: HostFiles;

  constructor(rule: ResolvedRule, files: HostFiles) {
    this.rule = rule;
    this.files = files;
  }

  /**
   * Adds a violation.
   *
   * @param problem why it is denied, which can be empty
   */
  deny(path: string, subject: string, problem = ""): void {
    const { name } = this.rule;
    const reason = problem === "" ? "" : `: ${problem}`;
    const message = `${shorten(subject)} is denied by policy rule ${JSON.stringify(name)}${reason}`;
    this.violations.push({ path, rule: name, message });
  }

  /** Adds a violation unless `problem` is undefined. */
  report(path: string, subject: string, problem: string | undefined): void {
    if (problem !== undefined) this.deny(path, subject, problem);
  }

  /** Checks a text against a list of globs. An empty text is Docker's default, which is always allowed. */
  againstList(
    list: PolicyListKey,
    path: string,
    { subject, value }: { readonly subject: string; readonly value: string },
  ): void {
    if (value !== "") this.report(path, subject, textProblem(value, this.rule[list]));
  }
}

/**
 * Returns why the lists deny a text.
 *
 * @param shown the allowed entries to name in the message
 */
export function textProblem(text: string, { allow, deny }: ResolvedList, shown = allow): string | undefined {
  const denied = deny.find((pattern) => matchesGlob(pattern, text));
  if (denied !== undefined) return denied === text ? "" : `${denied} is denied`;
  return allow.some((pattern) => matchesGlob(pattern, text)) ? undefined : allowedText(shown);
}

/** Says which entries of a list are allowed. */
export function allowedText(allow: readonly string[]): string {
  if (allow.length === 0) return "none is allowed";
  const ellipsis = allow.length > MAX_LISTED ? ", …" : "";
  return `allowed: ${allow.slice(0, MAX_LISTED).join(", ")}${ellipsis}`;
}

/** Shortens a value for a message: a security option can contain a whole profile. */
function shorten(text: string): string {
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH)}…` : text;
}
