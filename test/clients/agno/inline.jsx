// A page that makes the mistake of handing the provider a new config object, with the
// token it began with, at every render.
import { useState } from "react";
import { createRoot } from "react-dom/client";
import { AgnoProvider, useAgnoClient } from "@rodrigocoliveira/agno-react";

function App({ endpoint, firstToken }) {
  const [renders, setRenders] = useState(1);
  return (
    <AgnoProvider config={{ endpoint, agentId: "echo one", authToken: firstToken, onTokenExpired: fetchToken }}>
      <Hand />
      <button onClick={() => setRenders(renders + 1)}>Render</button>
      <input aria-label={`rendered ${renders} times`} />
    </AgnoProvider>
  );
}

function Hand() {
  window.client = useAgnoClient();
  return null;
}

async function fetchToken() {
  return (await (await fetch("/api/get-token")).json()).token;
}

fetchToken().then((firstToken) => {
  window.firstToken = firstToken;
  createRoot(document.getElementById("chat")).render(<App endpoint={document.body.dataset.endpoint} firstToken={firstToken} />);
});
