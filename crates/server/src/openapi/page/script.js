"use strict";
{
  const find = document.getElementById("find");
  const operations = [...document.querySelectorAll(".operation")];
  const nothing = document.getElementById("nothing");

  // Examples name the server that the page came from.
  for (const line of document.querySelectorAll(".curl code")) {
    line.textContent = line.textContent.replace("http://localhost:5000", location.origin);
  }

  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  const search = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const operation of operations) {
      const text = operation.dataset.text.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      operation.hidden = !fits;
      const link = document.querySelector(`nav a[href="#${operation.id}"]`);
      if (link) link.parentElement.hidden = !fits;
      left += fits ? 1 : 0;
    }
    for (const group of document.querySelectorAll("[data-group]")) {
      group.hidden = !group.querySelector(".operation:not([hidden]), li:not([hidden])");
    }
    nothing.hidden = left > 0;
  };
  find.hidden = false;
  find.addEventListener("input", search);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== find) {
      event.preventDefault();
      find.focus();
    }
    if (event.key === "Escape" && document.activeElement === find) {
      find.value = "";
      search();
    }
  });

  // A link to something that is folded unfolds it.
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", unfold);
  unfold();
}
