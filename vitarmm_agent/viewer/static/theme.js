// Loaded before the page is drawn, so that the chosen theme does not flash.
const chosen = localStorage.getItem("vitarmm-theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
