"""`python -m s2gr.sids`: the stage's command in dvc.yaml."""

from s2gr.stage import main

main("sids")
