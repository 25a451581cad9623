"""`urt-train distill` for a clone: python apps/distill.py [setting=value ...]"""

from urt_train.programs.distill import main

if __name__ == "__main__":
    main()
