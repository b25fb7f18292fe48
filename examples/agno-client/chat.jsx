import { useEffect, useRef, useState } from "react";
import { AgnoProvider, useAgnoActions, useAgnoChat, useAgnoClient } from "@rodrigocoliveira/agno-react";
import { keepFresh, send } from "./agno.js";

/** A chat with one agent: endpoint is the agent's URL without a slash at its end. */
export function App({ endpoint, agentId, tokens }) {
  // The provider applies its config again whenever it is another object, the old token
  // with it. So it is made once, when the first token is there.
  const [config, setConfig] = useState();
  const [problem, setProblem] = useState();
  useEffect(() => {
    tokens.fresh().then(
      (authToken) => setConfig({ endpoint, agentId, authToken, onTokenExpired: tokens.refresh }),
      (error) => setProblem(error.message),
    );
  }, [endpoint, agentId, tokens]);
  if (problem) return <p role="alert">{problem}</p>;
  if (!config) return <p>One moment…</p>;
  return (
    <AgnoProvider config={config}>
      <Chat tokens={tokens} />
    </AgnoProvider>
  );
}

function Chat({ tokens }) {
  const client = useAgnoClient();
  const { initialize } = useAgnoActions();
  const { messages, isStreaming, cancelRun } = useAgnoChat();
  const [problem, setProblem] = useState();
  const field = useRef(null);

  useEffect(() => {
    initialize().catch((error) => setProblem(error.message));
    return keepFresh(client, tokens);
  }, [client, initialize, tokens]);

  const ask = (event) => {
    event.preventDefault();
    setProblem(undefined);
    send(client, tokens, field.current.value).catch((error) => setProblem(error.message));
  };

  return (
    <form onSubmit={ask}>
      <ol>
        {messages.map((message, i) => (
          <li key={i} className={message.role}>{message.content}</li>
        ))}
      </ol>
      {problem && <p role="alert">{problem}</p>}
      <input ref={field} aria-label="message" />
      <button disabled={isStreaming}>Send</button>
      {isStreaming && <button type="button" onClick={cancelRun}>Stop</button>}
    </form>
  );
}
