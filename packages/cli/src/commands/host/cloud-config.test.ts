import { expect, test } from "vitest";
import { cloudConfig } from "./cloud-config.js";

test("cloudConfig() has the form of deploy/vm/user-data.yaml", async () => {
  const text = cloudConfig({
    script: "#!/bin/sh\n# berth host user-data inserts the script of the servers here.\n",
    servers: ["10.0.0.1:7400", "10.0.0.2:7400"],
    token: "TOKEN",
  });
  await expect(text).toMatchFileSnapshot("../../../../../deploy/vm/user-data.yaml");
});
