import { createRoot } from "react-dom/client";
import { App } from "./chat.jsx";
import { tokenSource } from "./tokens.js";

const tokens = tokenSource(async () => {
  const response = await fetch("/api/get-token"); // the visitor's session cookie goes along
  if (!response.ok) throw new Error("Please sign in again");
  return (await response.json()).token;
});

const { endpoint, agentId } = document.body.dataset;
createRoot(document.getElementById("chat")).render(<App endpoint={endpoint} agentId={agentId} tokens={tokens} />);
