import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { logIn, session } from "../app/session.js";

/** Explains how to log in, and takes a code. */
export function Login(): JSX.Element {
  const code = useSignal("");
  const reason = session.value.kind === "logged-out" ? session.value.reason : "";
  return (
    <main class="login">
      <h1>Log in to berth</h1>
      {reason !== "" && (
        <p class="error" role="alert">
          {reason}
        </p>
      )}
      <p>Run this command on a computer with a context of this cluster, and open the URL that it prints:</p>
      <pre>
        <code>berth ui login</code>
      </pre>
      <form
        class="actions"
        onSubmit={(event) => {
          event.preventDefault();
          void logIn(code.value.trim().replace(/^.*#login=/, ""));
        }}
      >
        <label>
          Or enter the code{" "}
          <input
            type="password"
            autocomplete="off"
            required
            value={code.value}
            onInput={({ currentTarget }) => (code.value = currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary">
          Log in
        </button>
      </form>
      <p class="note">A code is valid for one minute, for one login.</p>
    </main>
  );
}
