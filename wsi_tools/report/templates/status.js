// Without this script every slide is shown, what needs a look first.
document.documentElement.classList.add("live");
const sheet = document.getElementById("sheet");
const cards = [...sheet.children];
const [find, show, order, shown] = ["find", "show", "order", "shown"].map((id) => document.getElementById(id));
const names = new Intl.Collator(undefined, { numeric: true });
const compare = (a, b) =>
  order.value === "name"
    ? names.compare(a.dataset.name, b.dataset.name)
    : a.dataset[order.value] - b.dataset[order.value];
const choose = () => {
  const wanted = find.value.trim().toLowerCase();
  for (const card of cards)
    card.hidden =
      (show.value && card.dataset.state !== show.value) ||
      !card.textContent.toLowerCase().includes(wanted);
  shown.textContent = `${cards.filter((card) => !card.hidden).length} of ${cards.length} shown`;
};
order.addEventListener("change", () => sheet.append(...cards.sort(compare)));
document.querySelector("form").addEventListener("input", choose);
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
choose();
