/* Names what is on photos: raw bytes, EW_SIDE x EW_SIDE pixels of red, green and blue, one photo after the other.
 *
 *     ./edgewise [-l] [FILE]      from standard input without FILE; -l prints the logits, too
 */
#include <stdio.h>
#include <string.h>

#include "edgewise.h"

int main(int count, char **arguments)
{
    static uint8_t photo[EW_SIDE * EW_SIDE * 3];
    static edgewise_number logits[EW_CLASSES];
    int with_logits = count > 1 && strcmp(arguments[1], "-l") == 0;
    const char *name = count > 1 + with_logits ? arguments[1 + with_logits] : 0;
    FILE *file = name ? fopen(name, "rb") : stdin;
    if (!file) {
        fprintf(stderr, "%s cannot be opened.\n", name);
        return 1;
    }
    for (;;) {
        size_t got = fread(photo, 1, sizeof photo, file);
        if (got == 0 && !ferror(file))
            break;
        if (got != sizeof photo) {
            fprintf(stderr, "The last photo is cut off: %lu bytes of %lu.\n", (unsigned long)got,
                    (unsigned long)sizeof photo);
            return 1;
        }
        edgewise_run(photo, logits);
        printf("%s", edgewise_classes[edgewise_largest(logits)]);
        for (int i = 0; with_logits && i < EW_CLASSES; i++)
#ifdef EW_FLOAT
            printf(" %.9g", (double)logits[i]);
#else
            printf(" %ld", (long)logits[i]);
#endif
        printf("\n");
    }
    if (name)
        fclose(file);
    return 0;
}
