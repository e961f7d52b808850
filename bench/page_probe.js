// Runs in the page before its own scripts, and notes what the benchmark asks for: when frames arrive, when what they
// say is painted, and how long frames take.
(() => {
  const probe = { arrivals: [], shown: null, frames: null, pace: null, painted };
  globalThis.probe = probe;

  // A proxy that speaks the protocol: with a `pace` it divides text into deltas of `length` characters that arrive
  // `every` so many milliseconds, numbers the events of the run anew, and acknowledges what the server has sent.
  const Plain = globalThis.WebSocket;
  globalThis.WebSocket = class extends Plain {
    #waiting = [];
    #pumping = false;
    #due = 0;
    #received = 0;
    /** By run, how much higher numbers are, and which number of the server's each one stands for. */
    #runs = new Map();

    addEventListener(name, listener, ...options) {
      if (name !== "message") return super.addEventListener(name, listener, ...options);
      return super.addEventListener(name, ({ data }) => {
        for (const delta of this.#divided(data)) this.#waiting.push({ ...delta, listener });
        if (!this.#pumping) this.#pump();
      });
    }

    send(text) {
      const command = JSON.parse(text);
      for (const [id, seq] of Object.entries(command.cursors ?? {})) {
        const whole = this.#runs.get(id)?.numbers.findLast(([shown]) => shown <= seq);
        if (whole) command.cursors[id] = whole[1];
      }
      if (command.type === "ack") command.received = this.#received;
      super.send(JSON.stringify(command));
    }

    #divided(data) {
      const frame = JSON.parse(data);
      if (frame.seq === undefined) return [{ data, isText: false, last: true }];
      if (!this.#runs.has(frame.run_id)) this.#runs.set(frame.run_id, { higher: 0, numbers: [] });
      const run = this.#runs.get(frame.run_id);
      const isText = frame.type === "agent_response_chunk";
      const text = isText ? frame.data.text : "";
      const count = isText && probe.pace ? Math.max(1, Math.round(text.length / probe.pace.length)) : 1;
      const first = frame.seq + run.higher;
      run.higher += count - 1;
      run.numbers.push([first + count - 1, frame.seq]);
      return Array.from({ length: count }, (_, at) => {
        const part = text.slice((text.length * at) / count, (text.length * (at + 1)) / count);
        const event = { ...frame, seq: first + at, ...(isText ? { data: { ...frame.data, text: part } } : {}) };
        return { data: JSON.stringify(event), isText, last: at === count - 1 };
      });
    }

    #pump() {
      this.#pumping = true;
      while (this.#waiting.length > 0) {
        const now = performance.now();
        const paced = this.#waiting[0].isText && probe.pace !== null;
        if (paced && now < this.#due) return void setTimeout(() => this.#pump(), this.#due - now);
        if (paced) this.#due = Math.max(now - 100, this.#due) + probe.pace.every;
        const { data, isText, last, listener } = this.#waiting.shift();
        if (isText) probe.arrivals.push(now);
        if (last) this.#received += 1;
        listener({ data });
      }
      this.#pumping = false;
    }
  };

  /** The moment after the frame in which `is` became true was painted. */
  function painted(is) {
    return new Promise((done) => {
      const look = () => {
        if (!is()) return false;
        seen.disconnect();
        // Drawn outside of a frame, it is painted with the next one: this is never too early.
        requestAnimationFrame(() => {
          const after = new MessageChannel();
          after.port1.onmessage = () => done(performance.now());
          after.port2.postMessage(0);
        });
        return true;
      };
      const seen = new MutationObserver(look);
      if (!look()) seen.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
    });
  }

  /** From now on the time of each frame. */
  probe.watchFrames = () => {
    const times = [];
    probe.frames = times;
    let last = null;
    const note = (now) => {
      if (probe.frames !== times) return;
      if (last !== null) times.push(now - last);
      last = now;
      requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
  };

  probe.takeFrames = () => {
    const times = probe.frames ?? [];
    probe.frames = null;
    return times;
  };

  probe.usable = painted(() => {
    const field = document.querySelector('[data-testid="composer"]');
    return field !== null && !field.disabled && document.querySelector('[data-testid="thread"]') !== null;
  });
})();
