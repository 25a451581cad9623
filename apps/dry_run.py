"""`urt-train dry_run` for a clone: python apps/dry_run.py [setting=value ...]"""

from urt_train.programs.dry_run import main

if __name__ == "__main__":
    main()
