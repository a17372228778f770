// Search runs in a Worker, which browsers do not start on pages opened from the disk (file://).
// There, the same script runs in a hidden frame. The theme would load its own substitute from
// another server; it takes this one because of the name.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.scope = frame.contentWindow;
      const load = (source) =>
        new Promise((resolve, reject) => {
          const script = frame.contentDocument.createElement("script");
          script.src = new URL(source, document.baseURI);
          script.onload = resolve;
          script.onerror = reject;
          frame.contentDocument.body.append(script);
        });
      this.scope.postMessage = (data) =>
        this.dispatchEvent(new MessageEvent("message", { data }));
      this.scope.importScripts = async (...sources) => {
        for (const source of sources) await load(source);
      };
      this.ready = load(url);
    }
    postMessage(data) {
      this.ready.then(() =>
        this.scope.dispatchEvent(new MessageEvent("message", { data })),
      );
    }
    terminate() {
      this.scope.frameElement.remove();
    }
  };
}
