# frozen_string_literal: true

module EventMachine
  module WebSocket
    # Prints what happens, where `:debug` asks for it.
    module Debugger
      private

      # @param data [Array] what happened, and to what
      def debug(*data)
        return unless @debug

        pp(data)
        puts
      end
    end
  end
end
