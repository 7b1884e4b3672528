"""The No-U-Turn sampler: draws of the posterior itself, to compare approximations with."""
