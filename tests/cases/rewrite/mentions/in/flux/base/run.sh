#!/bin/sh
kubectl get GitRepository x
