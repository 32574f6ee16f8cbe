// A stand-in for Stripe.js: the few calls that a card form makes, with the same names, answers
// and order of events, against the double that served this script. Only test cards work.
(() => {
  "use strict";
  const base = new URL(".", document.currentScript.src).href;

  const failed = (message) => ({ error: { type: "api_connection_error", message } });

  // Digits in groups of four, the caret kept where the reader expects it.
  const group = (input) => {
    const digits = input.value.replace(/\D/g, "").slice(0, 19);
    input.value = digits.replace(/(.{4})(?=.)/g, "$1 ");
  };
  const month = (input) => {
    const digits = input.value.replace(/\D/g, "").slice(0, 4);
    input.value = digits.length > 2 ? `${digits.slice(0, 2)} / ${digits.slice(2)}` : digits;
  };

  class PaymentElement {
    constructor() {
      this.listeners = {};
      this.inputs = {};
    }

    on(name, listener) {
      (this.listeners[name] ??= []).push(listener);
      return this;
    }

    emit(name, detail) {
      for (const listener of this.listeners[name] ?? []) listener(detail);
    }

    mount(where) {
      const host = typeof where === "string" ? document.querySelector(where) : where;
      const fields = [
        ["number", "Card number", "4242 4242 4242 4242", "cc-number", group],
        ["expiry", "Expiry", "MM / YY", "cc-exp", month],
        ["cvc", "Security code", "123", "cc-csc", () => {}],
      ];
      const box = document.createElement("div");
      box.className = "card-fields";
      for (const [name, label, placeholder, autocomplete, shape] of fields) {
        const wrap = document.createElement("label");
        wrap.className = `field card-${name}`;
        const text = document.createElement("span");
        text.className = "label";
        text.textContent = label;
        const input = document.createElement("input");
        Object.assign(input, { className: "input", placeholder, autocomplete, inputMode: "numeric" });
        input.dataset.card = name;
        input.addEventListener("input", () => {
          shape(input);
          this.emit("change", { complete: this.complete() });
        });
        wrap.append(text, input);
        box.append(wrap);
        this.inputs[name] = input;
      }
      host.replaceChildren(box);
      queueMicrotask(() => this.emit("ready"));
    }

    complete() {
      const { number, expiry, cvc } = this.inputs;
      return number.value.replace(/\D/g, "").length >= 12 && expiry.value.length >= 4 && cvc.value.length >= 3;
    }

    unmount() {
      for (const input of Object.values(this.inputs)) input.closest(".card-fields")?.remove();
    }

    values() {
      const [exp_month = "", exp_year = ""] = this.inputs.expiry.value.split("/").map((part) => part.trim());
      return {
        "card[number]": this.inputs.number.value,
        "card[exp_month]": exp_month,
        "card[exp_year]": exp_year,
        "card[cvc]": this.inputs.cvc.value,
      };
    }
  }

  class Elements {
    create() {
      this.element = new PaymentElement();
      return this.element;
    }

    getElement() {
      return this.element ?? null;
    }

    async submit() {
      if (this.element?.complete()) return {};
      return { error: { type: "validation_error", message: "Fill in your card's number, expiry and security code." } };
    }
  }

  // The bank's question as a dialog. Resolves to whether the buyer approved.
  const ask = (intent) =>
    new Promise((resolve) => {
      const dialog = document.createElement("dialog");
      dialog.className = "test-bank";
      const tag = document.createElement("p");
      tag.className = "tag";
      tag.textContent = "Test bank · no real money";
      const title = document.createElement("h2");
      title.id = "test-bank-title";
      title.textContent = "Is this you?";
      const text = document.createElement("p");
      const money = new Intl.NumberFormat("en-GB", { style: "currency", currency: intent.currency });
      const wholeOnly = ["isk", "ugx"].includes(intent.currency.toLowerCase());
      const decimals = wholeOnly ? 2 : money.resolvedOptions().maximumFractionDigits;
      const amount = money.format(intent.amount / 10 ** decimals);
      text.textContent = `A shop asks to charge ${amount} to your card.`;
      const actions = document.createElement("div");
      actions.className = "test-bank-actions";
      for (const [answer, words, look] of [["approve", "Yes, it is me", ""], ["refuse", "No, refuse", "quiet"]]) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = look;
        button.textContent = words;
        button.addEventListener("click", () => {
          dialog.close();
          dialog.remove();
          resolve(answer);
        });
        actions.append(button);
      }
      dialog.setAttribute("aria-labelledby", title.id);
      dialog.addEventListener("cancel", (event) => event.preventDefault());
      const style = document.createElement("link");
      style.rel = "stylesheet";
      style.href = `${base}bank.css`;
      dialog.append(style, tag, title, text, actions);
      document.body.append(dialog);
      dialog.showModal();
    });

  const look = async (id, secret) => {
    const answer = await fetch(`${base}intents/${id}?client_secret=${encodeURIComponent(secret)}`);
    if (!answer.ok) throw new Error("No such payment.");
    return answer.json();
  };

  window.Stripe = () => ({
    elements: () => new Elements(),

    async createConfirmationToken({ elements }) {
      try {
        const answer = await fetch(`${base}confirmation_tokens`, {
          method: "POST",
          body: new URLSearchParams(elements.getElement("payment").values()),
        });
        const body = await answer.json();
        return answer.ok ? { confirmationToken: body } : { error: body.error };
      } catch {
        return failed("The card could not be checked. Are you online? Try again.");
      }
    },

    async handleNextAction({ clientSecret }) {
      try {
        const id = clientSecret.split("_secret_")[0];
        let intent = await look(id, clientSecret);
        if (intent.status === "requires_action") {
          const answer = await ask(intent);
          await fetch(`${base}bank/${id}`, {
            method: "POST",
            redirect: "manual",
            body: new URLSearchParams({ client_secret: clientSecret, answer }),
          });
          intent = await look(id, clientSecret);
        }
        return intent.error ? { error: { type: "card_error", message: intent.error } } : { paymentIntent: intent };
      } catch {
        return failed("Your bank could not be reached. Try again.");
      }
    },
  });
})();
