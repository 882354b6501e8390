# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo
# Pythons of environments with MONAI and with nnunetv2, for make bench: see benchmarks/volumes.py
# and benchmarks/nnunet.py; may be empty.
PEER ?=
NNUNET ?=
export MPLBACKEND := Agg

.PHONY: help demo test test-dicom check format docs bench clean

help:
	@echo "make demo    the models that ship, on phantoms; training in both frameworks: about 2 minutes"
	@echo "make test    make check, then the tests: 13 to 17 minutes"
	@echo "make test-dicom  DICOM results against dciodvfy, dcmqi, PixelMed and Orthanc, where installed"
	@echo "make check   format, lint, types, import rules, docs"
	@echo "make format  mend format and lint where that is safe"
	@echo "make docs    write the generated pages of the docs anew"
	@echo "make bench   training and prediction speed beside plain PyTorch and Keras; metrics; the breast region"
	@echo "make clean   remove the virtual environment and the demo"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("breastseg needs Python 3.11 or newer, found %d.%d; set PYTHON=" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV): about 1.5 GB with both frameworks, a few minutes"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

demo: $(READY)
	@rm -rf $(DEMO)
	$(BIN)/breastseg phantom ultrasound --output $(DEMO)/phantoms --num-cases 120
	$(BIN)/breastseg predict $(DEMO)/phantoms --model ultrasound --explain --output $(DEMO)/ultrasound
	$(BIN)/breastseg phantom ct --output $(DEMO)/chest --num-cases 1 --num-lesions 2
	$(BIN)/breastseg predict $(DEMO)/chest --model ct-demo --output $(DEMO)/ct
	$(BIN)/breastseg train $(DEMO)/phantoms --recipe smoke --framework pytorch --output $(DEMO)/pytorch
	$(BIN)/breastseg train $(DEMO)/phantoms --recipe smoke --framework tensorflow --output $(DEMO)/tensorflow
	$(BIN)/breastseg predict $(DEMO)/phantoms --model $(DEMO)/tensorflow --output $(DEMO)/predictions
	$(BIN)/breastseg evaluate $(DEMO)/pytorch $(DEMO)/phantoms --against $(DEMO)/tensorflow
	@echo
	@echo "Phantoms, not patients: these figures show that the parts work together, nothing more."
	@echo "The models that ship, on phantom ultrasound: $(DEMO)/ultrasound/report.html"
	@echo "                      and on a phantom CT:   $(DEMO)/ct/report.html"
	@echo "Two networks trained here, their scores:     $(DEMO)/pytorch/scorecard/scorecard.html"
	@echo "                   and what one of them finds: $(DEMO)/predictions/report.html"

# Two processes or more halve the time; with --dist loadfile a fixture of a file is made once.
PYTEST_PROCESSES ?= -n logical --maxprocesses 4 --dist loadfile

test: check
	$(BIN)/pytest $(PYTEST_PROCESSES)

test-dicom: $(READY)
	$(BIN)/pytest -m validators

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/check.py

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	$(BIN)/python docs/check.py --write

bench: $(READY)
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/prediction.py
	$(BIN)/python benchmarks/nnunet.py --own-size --peer "$(NNUNET)"
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/volumes.py --peer "$(PEER)"
	$(BIN)/python benchmarks/breast_region.py
	$(BIN)/python benchmarks/breast_region.py --phantoms 30

clean:
	rm -rf $(VENV) $(DEMO)
