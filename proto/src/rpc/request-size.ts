import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { limitsOf } from "./limits.js";

/** Internal fields of a call of grpc-js, which has one limit for the requests of all methods. */
interface CallInternals {
  readonly decoder: { maxReadMessageLength: number };
}

/**
 * Rejects a request as soon as its length has arrived and exceeds the limit of its method. Must be the first interceptor,
 * which gets the call of grpc-js itself.
 */
export const requestSizeInterceptor: ServerInterceptor = ({ path }, call) => {
  internalsOf(call).decoder.maxReadMessageLength = limitsOf(path).request;
  return new ServerInterceptingCall(call);
};

function internalsOf(call: ServerInterceptingCallInterface): CallInternals {
  return call as unknown as CallInternals;
}
