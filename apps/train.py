"""`urt-train` for a clone: python apps/train.py [setting=value ...]"""

from urt_train.programs.train import main

if __name__ == "__main__":
    main()
