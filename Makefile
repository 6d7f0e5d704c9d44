# Two thin targets over plain commands; README.md says what they do.

VENV = .venv
INSTALL = $(VENV)/bin/pip install -c tests/constraints.txt

.PHONY: demo test

demo: $(VENV)
	$(INSTALL) -e .
	PATH="$(abspath $(VENV))/bin:$$PATH" sh sample_data/demo.sh

test: $(VENV)
	$(INSTALL) --group test -e '.[tables]'
	$(VENV)/bin/pytest -n auto

$(VENV):
	python3 -m venv $(VENV)
	$(INSTALL) --upgrade pip
