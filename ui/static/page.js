// The keys, the theme button and the saving of files. Files are made in the browser: no copy stays on the server's disk.
() => {
  const press = (id) => {
    const button = document.querySelector(`#${id}:not([disabled])`);
    if (button && button.offsetParent !== null) { button.click(); return true; }
    return false;
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      document.activeElement.blur();
      setTimeout(() => press("gz-run") || press("gz-run-both"), 60);
    } else if (event.key === "Escape") {
      press("gz-stop") || press("gz-stop-both");
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("#gz-theme")) document.body.classList.toggle("dark");
  });
  window.gazalSave = (file) => {
    if (!file || !file.data) return;
    const raw = atob(file.data);
    const bytes = Uint8Array.from(raw, (character) => character.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: file.type }));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
}
