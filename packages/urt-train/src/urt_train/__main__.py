"""`python -m urt_train`, and so `torchrun ... -m urt_train`: the `urt-train` command."""

from urt_train.programs import main

if __name__ == "__main__":
    main()
