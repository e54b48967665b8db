"""attune: tune, prove, pack and serve pretrained models on one ordinary machine."""
