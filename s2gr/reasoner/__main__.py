"""`python -m s2gr.reasoner`: the stage's command in dvc.yaml."""

from s2gr.stage import main

main("reasoner")
