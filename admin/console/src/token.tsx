import { useEffect, useRef } from "preact/hooks";
import { giveToken, refused } from "./api";

// TokenForm asks for the admin token while the API refuses to answer without one.
export function TokenForm() {
  return refused.value ? <Asking /> : null;
}

function Asking() {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current!.showModal(), []);
  function submit(e: SubmitEvent) {
    e.preventDefault();
    const input = (e.currentTarget as HTMLFormElement).elements.namedItem("token") as HTMLInputElement;
    if (input.value.trim()) giveToken(input.value.trim());
  }
  return (
    <dialog ref={box} class="ask" aria-labelledby="ask" onCancel={(e) => e.preventDefault()}>
      <form onSubmit={submit}>
        <h2 id="ask">Admin token</h2>
        <p id="ask-why">
          This gateway shows its status to those who have its token: the value of <code>admin.token</code> in the configuration. It is
          kept in this tab only, until the tab is closed.
        </p>
        {refused.value === "wrong" && (
          <p class="bad" role="alert">
            The gateway does not accept this token.
          </p>
        )}
        <p class="field">
          <label for="token">Token</label>
          <input id="token" name="token" type="password" autocomplete="off" required autofocus aria-describedby="ask-why" />
        </p>
        <p class="actions">
          <button type="submit" class="primary">
            Show the console
          </button>
        </p>
      </form>
    </dialog>
  );
}
