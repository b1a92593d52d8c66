#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *fletcher16(PyObject *self, PyObject *argument) {
    Py_buffer data;
    if (PyObject_GetBuffer(argument, &data, PyBUF_SIMPLE) < 0) return NULL;
    unsigned low = 0, high = 0;
    for (Py_ssize_t i = 0; i < data.len; i++) {
        low = (low + ((const unsigned char *)data.buf)[i]) % 255;
        high = (high + low) % 255;
    }
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(high << 8 | low);
}

static PyMethodDef methods[] = {{"fletcher16", fletcher16, METH_O, "The checksum of an object's bytes."}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fletcher", NULL, 0, methods};
PyMODINIT_FUNC PyInit__fletcher(void) { return PyModuleDef_Init(&module); }
