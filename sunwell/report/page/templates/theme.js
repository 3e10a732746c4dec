// Dark or light: as the system has it, or as somebody chose, which is kept where a page may keep something.

function isDark() {
  const chosen = document.documentElement.className;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function changeTheme() {
  useTheme(isDark() ? "light" : "dark");
}

function useTheme(name) {
  document.documentElement.className = name;
  byId("theme-button").textContent = isDark() ? "Light" : "Dark";
  try {
    localStorage.setItem("sunwell-theme", name);
  } catch {
    // A page that may store nothing follows the system the next time.
  }
}

function storedTheme() {
  try {
    const name = localStorage.getItem("sunwell-theme");
    return name === "dark" || name === "light" ? name : "";
  } catch {
    return "";
  }
}

function beginTheme() {
  if (storedTheme()) document.documentElement.className = storedTheme();
  byId("theme-button").textContent = isDark() ? "Light" : "Dark";
  byId("theme-button").addEventListener("click", changeTheme);
}
