import { User } from "@berth/proto";
import { expect, it } from "vitest";
import { findUser, newCertificateName } from "./certificate-name.js";

const CERTIFICATE_NAME = newCertificateName("al.ice", "0123456789abcd123456");
const users = new Map([["al.ice", User.fromPartial({ name: "al.ice", certificateName: CERTIFICATE_NAME })]]);

it("findUser returns the user of a name in a certificate", () => {
  expect(CERTIFICATE_NAME).toBe("al.ice.123456");
  expect(findUser(CERTIFICATE_NAME, users)?.name).toBe("al.ice");
});

it.each(["al.ice.123457", "al.ice", "", "123456", "bob.123456"])(
  "findUser returns nothing for %j",
  (name) => {
    expect(findUser(name, users)).toBeUndefined();
  },
);
