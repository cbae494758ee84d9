import { expect, test } from "vitest";
import { hasNamedContexts } from "./buildkit-version.js";

const inspection = (...versions: readonly string[]): string =>
  [
    "Name:          default",
    "Driver:        docker",
    ...versions.map((version) => `BuildKit version: ${version}`),
    "Platforms:        linux/amd64",
  ].join("\n");

test.each([
  ["Docker 20.10", inspection("v0.8+unknown"), false],
  ["Docker 23.0", inspection("v0.10.6"), true],
  ["Docker 28", inspection("v0.22.0"), true],
  ["BuildKit 1", inspection("v1.0.0"), true],
  ["an older Buildx plugin with Docker 20.10", "Buildkit:  20.10.24\n", false],
  ["an older Buildx plugin with Docker 24", "Buildkit:  24.0.7\n", true],
  ["two nodes of which one is old", inspection("v0.12.0", "v0.9.3"), false],
  ["a builder that tells no version", inspection(), true],
])("hasNamedContexts() reads the version of %s", (_, text, expected) => {
  expect(hasNamedContexts(text)).toBe(expected);
});
