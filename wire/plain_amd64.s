//go:build !purego

#include "textflag.h"

// func plainBlocks(b []byte, i int) int
//
// SSE2, which every amd64 processor has. A byte is of interest if, with bit 1
// turned over, it is at most ' ' (then it was a control character or a quote),
// or if it is a backslash. Subtraction with saturation makes the former zero,
// exclusive or the latter, and minima gather the zeros of 64 bytes.
TEXT ·plainBlocks(SB), NOSPLIT, $0-40
	MOVQ b_base+0(FP), SI
	MOVQ b_len+8(FP), BX
	MOVQ i+24(FP), AX

	MOVQ $0x0202020202020202, CX
	MOVQ CX, X5
	PUNPCKLQDQ X5, X5
	MOVQ $0x5c5c5c5c5c5c5c5c, CX
	MOVQ CX, X6
	PUNPCKLQDQ X6, X6
	MOVQ $0x2020202020202020, CX
	MOVQ CX, X7
	PUNPCKLQDQ X7, X7
	PXOR X8, X8
	SUBQ $64, BX

block:
	CMPQ AX, BX
	JGT  done
	MOVOU (SI)(AX*1), X0
	MOVOU 16(SI)(AX*1), X1
	MOVOU 32(SI)(AX*1), X2
	MOVOU 48(SI)(AX*1), X3
	MOVO X0, X9
	MOVO X1, X10
	MOVO X2, X11
	MOVO X3, X12
	PXOR X5, X0
	PXOR X5, X1
	PXOR X5, X2
	PXOR X5, X3
	PSUBUSB X7, X0
	PSUBUSB X7, X1
	PSUBUSB X7, X2
	PSUBUSB X7, X3
	PXOR X6, X9
	PXOR X6, X10
	PXOR X6, X11
	PXOR X6, X12
	PMINUB X9, X0
	PMINUB X10, X1
	PMINUB X11, X2
	PMINUB X12, X3
	PMINUB X1, X0
	PMINUB X3, X2
	PMINUB X2, X0
	PCMPEQB X8, X0
	PMOVMSKB X0, DX
	TESTL DX, DX
	JNE done
	ADDQ $64, AX
	JMP block

done:
	MOVQ AX, ret+32(FP)
	RET
