from addlab.certify.proof import main

main()
